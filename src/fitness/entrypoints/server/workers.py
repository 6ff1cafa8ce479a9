"""Worker processes: started by this one, replaced when they die, and ended together."""

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from socket import socket
from typing import Any

from fitness.foundation.parent_death import die_with_parent

RESTART_PAUSE_S = 0.5
"""The pause before a dead worker is replaced, so that a worker that dies at once does not keep a core busy."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_log = logging.getLogger(__name__)


class StopSignals:
    """Sets `wanted` on SIGTERM, SIGINT or SIGHUP, however often and at whatever moment they arrive.

    The handler does nothing else, since the next signal could interrupt it. Blocking calls go on after a signal; only
    `wait_for` returns.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._read_end, self._write_end = os.pipe()
        for end in (self._read_end, self._write_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for one in SIGNALS:
            signal.signal(one, self._want)

    def wait_for(self, others: Sequence[int], timeout_s: float | None = None) -> list[Any]:
        """Wait for any of `others`, a signal or the timeout. Returns those of the `others` that are ready."""
        ready = wait([self._read_end, *others], timeout_s)
        if self._read_end in ready:
            with suppress(BlockingIOError):
                os.read(self._read_end, 1_024)
        return [one for one in ready if one != self._read_end]

    def _want(self, *_: object) -> None:
        self.wanted = True


Work = Callable[[int, Callable[[], None]], None]


class Workers:
    """A process for each of `works`, which runs `work(stopping, ready)`.

    A work calls `ready()` when it has begun to serve, and returns after SIGTERM or after the end of file on `stopping`.
    Until it has a handler for SIGTERM, the signal kills the process, which has nothing to finish yet. The workers
    accept connections from `sockets`; this process closes its own copies when the workers stop.
    """

    def __init__(self, works: Sequence[Work], *, sockets: Sequence[socket], drain_s: float) -> None:
        self._works = works
        self._sockets = sockets
        self._drain_s = drain_s
        self._context = multiprocessing.get_context("fork")
        # The workers read the end of file from `_stopping` once this process closes `_stop`, or is gone.
        self._stopping, self._stop = os.pipe()
        self._begun, self._beginning = os.pipe()

    def run(self, until: StopSignals, on_ready: Callable[[], None]) -> bool:
        """Returns once stopping is wanted and every worker has ended. False if a worker ended before it was ready."""
        running = [] if until.wanted else [self._started(work) for work in self._works]
        waiting, sound = len(self._works), True
        while not until.wanted and sound:
            ready = until.wait_for([self._begun, *[process.sentinel for process in running]])
            if self._begun in ready:
                begun = len(os.read(self._begun, 1_024))
                if waiting and begun >= waiting:
                    on_ready()
                waiting = max(0, waiting - begun)
            dead = [process for process in running if not process.is_alive()]
            if until.wanted or not dead:
                continue
            if waiting:
                sound = False
            else:
                running = self._replaced(running, until)
        self._end(running)
        return sound

    def _started(self, work: Work) -> BaseProcess:
        process = self._context.Process(target=self._run, args=(os.getpid(), work))
        # A signal that comes while the new process still has this one's handlers waits until it has its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return process

    def _replaced(self, running: list[BaseProcess], until: StopSignals) -> list[BaseProcess]:
        for process in running:
            if not process.is_alive():
                _log.error("worker process %s ended unexpectedly (%s), and is replaced", process.pid, process.exitcode)
        until.wait_for([], RESTART_PAUSE_S)
        if until.wanted:
            return running
        return [
            process if process.is_alive() else self._started(work)
            for process, work in zip(running, self._works, strict=True)
        ]

    def _run(self, parent_pid: int, work: Work) -> None:
        """Runs in the worker process."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to every process: the parent acts on it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        die_with_parent(parent_pid, signal.SIGKILL)
        os.close(self._stop)
        work(self._stopping, lambda: _tell(self._beginning))

    def _end(self, running: Sequence[BaseProcess]) -> None:
        os.close(self._stop)
        for process in running:
            process.terminate()
        for sock in self._sockets:
            sock.close()
        give_up_s = time.monotonic() + self._drain_s
        for process in running:
            process.join(max(0.0, give_up_s - time.monotonic()))
            if process.is_alive():
                _log.error("worker process %s did not end within %s s, and is killed", process.pid, self._drain_s)
                process.kill()
                process.join()
        for end in (self._stopping, self._begun, self._beginning):
            os.close(end)


def _tell(beginning: int) -> None:
    with suppress(OSError):
        os.write(beginning, b"+")
