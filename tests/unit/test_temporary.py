"""Temporary folders: what a killed process left is removed, what a living one uses stays, whoever starts meanwhile."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fitness.foundation.temporary import OWNER, sweep, temporary_folder

PREFIX = "fitness-sample-"

HOLD = f"""
import sys
from fitness.foundation.temporary import temporary_folder
with temporary_folder({PREFIX!r}) as folder:
    (folder / "0.sock").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""

# Each round sweeps the folders that others have just made.
RACE = f"""
from fitness.foundation.temporary import temporary_folder
for _ in range(150):
    with temporary_folder({PREFIX!r}) as folder:
        (folder / "mine").touch()
        with temporary_folder({PREFIX!r}):
            assert (folder / "mine").exists(), "somebody removed it"
"""


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, in this process and in those that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@contextmanager
def holder() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that uses a folder until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def test_it_is_there_meanwhile_and_gone_after(folders: Path):
    with temporary_folder(PREFIX) as folder:
        assert folder.parent == folders
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "0.sock").touch()
    assert list(folders.iterdir()) == []


def test_the_folder_of_a_process_that_was_killed_is_removed_by_the_next_one(folders: Path):
    with holder() as (process, left), holder() as (_, used):
        process.kill()
        process.wait()
        assert {*folders.iterdir()} == {left, used}
        with temporary_folder(PREFIX) as own:
            assert {*folders.iterdir()} == {used, own}
        assert (used / "0.sock").exists()


def test_a_forked_child_keeps_the_folder_of_its_killed_parent(folders: Path):
    forking = HOLD.replace("print(", "import os, signal\n    if not os.fork(): signal.pause()\n    print(")
    forking = forking.replace("print(folder", "print(folder, open('/proc/self/task/%d/children' % os.getpid()).read()")
    with subprocess.Popen([sys.executable, "-c", forking], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        folder, child = process.stdout.readline().split()
        process.kill()
    try:
        sweep(PREFIX)
        assert Path(folder, "0.sock").exists()
    finally:
        os.kill(int(child), 9)


def test_what_an_earlier_version_left_without_an_owner_is_removed(folders: Path):
    left = folders / f"{PREFIX}old"
    left.mkdir()
    (left / "0.lock").touch()
    sweep(PREFIX)
    assert not left.exists()


def test_links_files_and_other_names_are_left_alone(folders: Path):
    elsewhere = folders / "elsewhere"
    elsewhere.mkdir()
    (folders / f"{PREFIX}link").symlink_to(elsewhere)
    (folders / f"{PREFIX}file").touch()
    before = {*folders.iterdir()}
    sweep(PREFIX)
    assert {*folders.iterdir()} == before
    assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of somebody else's")
def test_another_users_folder_is_left_alone(folders: Path):
    foreign = folders / f"{PREFIX}foreign"
    foreign.mkdir()
    (foreign / OWNER).touch()
    os.chown(foreign, 65_534, 65_534)
    sweep(PREFIX)
    assert (foreign / OWNER).exists()


def test_processes_that_start_at_the_same_time_leave_each_other_alone(folders: Path):
    racing = [subprocess.Popen([sys.executable, "-c", RACE], stderr=-1, text=True) for _ in range(4)]
    assert [(one.communicate()[1], one.returncode) for one in racing] == [("", 0)] * 4
    assert list(folders.iterdir()) == []
