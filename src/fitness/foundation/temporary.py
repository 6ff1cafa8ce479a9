"""Temporary folders that a later run removes where the process that made them was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

OWNER = "owner.lock"
"""In each folder: locked by the process that made it, as long as that lives. The kernel lets go of the lock."""


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder for this process, which is removed after; those of `prefix` that killed processes left are removed now.

    Children that are forked inherit the lock, so the folder stays while one of them lives.
    """
    sweep(prefix)
    folder, lock = _made(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(prefix: str) -> None:
    """Remove this user's folders of `prefix` whose processes are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError), ExitStack() as stack:  # somebody else removes it, or it is not ours to open
            # A link, or what another user put there under such a name, is left alone.
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            stack.callback(os.close, opened)
            if os.fstat(opened).st_uid == os.geteuid() and _all_locked(opened, stack):
                shutil.rmtree(folder, ignore_errors=True)


def _made(prefix: str) -> tuple[Path, int]:
    """A new folder and its lock.

    A sibling that sweeps may take the folder before it is locked, and remove it. So it counts only if the file that was
    locked is still there after. This ends: whoever sweeps does so once, when it starts.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        with suppress(FileNotFoundError):
            lock = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is(folder / OWNER, lock):
                return folder, lock
            os.close(lock)


def _is(path: Path, opened: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(opened))
    except FileNotFoundError:
        return False


def _all_locked(folder: int, stack: ExitStack) -> bool:
    """Lock every lock in the folder; False where somebody has one.

    Also those of other names: an earlier version made no OWNER, but its worker processes locked files of their own.
    """
    names = {OWNER, *(name for name in os.listdir(folder) if name.endswith(".lock"))}
    for name in sorted(names):
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        stack.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
