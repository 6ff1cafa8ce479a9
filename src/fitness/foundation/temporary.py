"""Temporary folders that a later run removes if the process that made them was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

OWNER = "owner.lock"
"""The lock file in each folder. The process that made the folder holds the lock until the process ends: then the kernel
releases it.
"""


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder for this process, removed at the end. Folders of `prefix` that killed processes left are removed now.

    Forked children inherit the lock, so other runs leave the folder alone while one of the children lives.
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
        with suppress(OSError), ExitStack() as stack:  # another process removes it, or this user may not open it
            # A link, or what another user put there under such a name, is left alone.
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            stack.callback(os.close, opened)
            if os.fstat(opened).st_uid == os.geteuid() and _all_locked(opened, stack):
                shutil.rmtree(folder, ignore_errors=True)


def _made(prefix: str) -> tuple[Path, int]:
    """A new folder and its lock.

    Another process that sweeps may remove the folder before it is locked. So the folder counts only if the locked file
    is still there afterwards. The loop ends: each process sweeps only once, when it starts.
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
    """Lock every lock file in the folder; False if another process holds one of the locks.

    Lock files of other names count, too: an earlier version made no OWNER, but its worker processes locked files of
    their own.
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
