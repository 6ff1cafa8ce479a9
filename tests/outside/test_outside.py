"""The programs beside this file, run and type-checked in an environment where the built wheel is installed."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from sysconfig import get_path

import pytest

from tests.files import A_TRACK

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = "import sys; from flit_core.buildapi import build_wheel; print(build_wheel(sys.argv[1]))"
MYPY = "from mypy.__main__ import console_entry; console_entry()"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs and an environment `env` of its own, which borrows the other projects' packages."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for program in ("club.py", "inbox.py"):
        shutil.copy(HERE / program, folder)
    venv.create(folder / "env", symlinks=True)
    packages = folder / "env" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    built = subprocess.run([sys.executable, "-c", BUILD, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(folder / built.stdout.split()[-1]) as wheel:
        wheel.extractall(packages)
    (packages / "borrowed.pth").write_text(f"{get_path('platlib')}\n{get_path('purelib')}\n")
    return folder


def run(folder: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "env" / "bin" / "python", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_is_imported_is_the_wheel(elsewhere: Path):
    found = run(elsewhere, "-c", "import fitness; print(fitness.__file__)")
    assert Path(found.stdout.strip()).is_relative_to(elsewhere), found


def test_a_test_of_another_project_runs_on_the_in_memory_adapters(elsewhere: Path):
    assert run(elsewhere, "club.py").returncode == 0


@pytest.mark.slow
def test_a_worker_of_another_project_runs_a_use_case(elsewhere: Path):
    inbox = elsewhere / "inbox"
    inbox.mkdir()
    for name, content in (("1.gpx", A_TRACK), ("2.gpx", A_TRACK), ("3.gpx", b"nothing known")):
        (inbox / name).write_bytes(content)
    urls = {"FITNESS_DATABASE_URL": "memory:", "FITNESS_REDIS_URL": "memory:"}
    done = run(elsewhere, "inbox.py", "ann@example.org", "inbox", **urls)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == "1.gpx: 1 activities"
    assert "already" in second
    assert "FIT" in third
    assert not [*inbox.iterdir()]


@pytest.mark.slow
def test_both_are_typed_against_the_installed_package(elsewhere: Path):
    checked = run(elsewhere, "-c", MYPY, "--strict", "club.py", "inbox.py")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow
def test_a_mistyped_call_is_found(elsewhere: Path):
    (elsewhere / "wrong.py").write_text("from fitness.ports.messages import Messages\n\nMessages(id='one')\n")
    checked = run(elsewhere, "-c", MYPY, "--strict", "wrong.py")
    assert 'expected "int"' in checked.stdout, checked.stdout + checked.stderr
