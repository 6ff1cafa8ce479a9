"""A function run in processes of its own, which can be killed: with bounded time and memory for each call."""

import asyncio
import multiprocessing
import resource
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class ProcessKilled(Exception):
    """The process ended in mid-call, through no fault of the function's: another call may succeed."""


class OutOfTime(Exception):
    """The call took longer than its `timeout_s`."""


class OutOfMemory(Exception):
    """The call needed more than its `memory_bytes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    at_once: int
    """Processes, and so calls that run at the same time; further calls wait."""
    timeout_s: float
    """For each call, from when it begins to run."""
    memory_bytes: int
    """Address space of each process."""


class KillableProcesses(Generic[A, R]):
    """Calls `function`, which must be importable by name, in spawned processes.

    `on_start` runs first in each process. A call's argument and result are pickled.
    """

    def __init__(self, function: Callable[[A], R], limits: ProcessLimits, on_start: Callable[[], None]) -> None:
        self._function = function
        self._limits = limits
        self._on_start = on_start
        self._pool = self._new_pool()

    async def run(self, argument: A) -> R:
        """What `function` returns or raises. Raises ProcessKilled, OutOfTime, OutOfMemory."""
        pool = self._pool
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(pool, _call, self._function, argument, self._limits.timeout_s)
        except BrokenProcessPool as error:
            # One dead process breaks the whole pool. Several calls may notice; only the first replaces it.
            if pool is self._pool:
                self._pool = self._new_pool()
            raise ProcessKilled("the process was killed") from error

    def pids(self) -> list[int]:
        """Of the processes that run now; they are started with the first calls."""
        return [*(self._pool._processes or ())]

    def close(self) -> None:
        """Waits for the calls that run; those that wait are cancelled."""
        self._pool.shutdown(cancel_futures=True)

    def _new_pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork would copy the event loop and its connections
        limits = (self._on_start, self._limits.memory_bytes)
        return ProcessPoolExecutor(self._limits.at_once, context, initializer=_begin, initargs=limits)


def _begin(on_start: Callable[[], None], memory_bytes: int) -> None:
    on_start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the parent
    signal.signal(signal.SIGALRM, _out_of_time)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _call(function: Callable[[A], R], argument: A, timeout_s: float) -> R:
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        return function(argument)
    except MemoryError as error:
        raise OutOfMemory from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _out_of_time(*_: object) -> NoReturn:
    raise OutOfTime
