"""A child process that ends when its parent does."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int, death_signal: int = signal.SIGTERM) -> None:
    """Have the kernel send this process `death_signal` when its parent ends, however that ends.

    The parent counts as ended when the thread that made this process does: make it from the main thread.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # the parent ended before the request to the kernel
        os.kill(os.getpid(), death_signal)
