"""Calls of a function in processes that can be killed, with bounded time and memory for each call."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fitness.foundation.called import OUT_OF_MEMORY, Frame, frame, received

A = TypeVar("A")
R = TypeVar("R")

# Not multiprocessing: its children import what the parent was started with, here the whole service.
_PROGRAM = "from fitness.foundation.called import main; main()"


# The processes inherit no other variables: the service's settings hold secrets, and the function does not need them.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS")


# Otherwise each thread that a library starts would reserve 64 MiB of the address space, whether it used them or not.
_FIXED = {"MALLOC_ARENA_MAX": "1"}


class ProcessKilled(Exception):
    """The process was ended in mid-call, not because of the function: another call may succeed."""


class OutOfTime(Exception):
    """The call took longer than its time."""


class OutOfMemory(Exception):
    """The call needed more than its `memory_bytes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    at_once: int
    """The number of processes, and so of calls that run at the same time; further calls wait."""
    cpu_s: float
    """CPU time for each call."""
    timeout_s: float
    """Real time for each call, from when it begins to run: on a busy machine, CPU time takes longer."""
    memory_bytes: int
    """Address space of each process, the interpreter included."""


class KillableProcesses(Generic[A, R]):
    """Calls `function`, which must be importable by name, in processes that are started when they are needed.

    `on_start` runs first in each process. A call's argument and result are pickled. When a call is cancelled, its
    process is killed; `close` kills all processes. Whatever ends a process, the next call gets another one.
    """

    def __init__(self, function: Callable[[A], R], limits: ProcessLimits, on_start: Callable[[], None]) -> None:
        self._setup = frame((function, on_start, limits.memory_bytes))
        self._limits = limits
        self._places = asyncio.Semaphore(limits.at_once)
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._closed = self._prepared = False
        # Threads that wait for the answers of the processes, and as many more that wait for the end of killed ones.
        self._threads = ThreadPoolExecutor(2 * limits.at_once, thread_name_prefix="killable")

    def prepare(self) -> None:
        """Start all processes now, and from now on replace each one that ends, so that no call waits for a start."""
        self._prepared = True
        while not self._closed and len(self._busy) + len(self._idle) < self._limits.at_once:
            process = _Process(self._setup)
            self._idle.append(process)
            self._threads.submit(process.begin)

    async def run(self, argument: A, *, cpu_s: float | None = None) -> R:
        """What `function` returns or raises. Raises ProcessKilled, OutOfTime, OutOfMemory."""
        async with self._places:
            if self._closed:
                raise ProcessKilled("the processes are closed")
            process = self._ready()
            self._busy.add(process)
            try:
                return await self._answered(process, frame((argument, cpu_s or self._limits.cpu_s)))
            except (asyncio.CancelledError, OutOfMemory, OutOfTime, ProcessKilled):
                process.kill()
                raise
            finally:
                self._busy.discard(process)
                if process.usable:
                    self._idle.append(process)
                elif not self._closed:
                    self._threads.submit(process.reap)
                    if self._prepared:
                        self.prepare()

    def _ready(self) -> "_Process":
        while self._idle:
            process = self._idle.pop()
            if process.runs:
                return process
            self._threads.submit(process.reap)
        return _Process(self._setup)

    async def _answered(self, process: "_Process", call: Frame) -> R:
        loop = asyncio.get_running_loop()
        if not process.begun:  # also while a thread of `prepare` is beginning it: then this waits for that
            await loop.run_in_executor(self._threads, process.begin)
        timer = loop.call_later(self._limits.timeout_s, process.end_late)
        try:
            returned, result = await loop.run_in_executor(self._threads, process.ask, call)
        finally:
            timer.cancel()
        if not returned:
            raise result
        answer: R = result
        return answer

    def pids(self) -> list[int]:
        """The ids of the processes that run now."""
        return [process.pid for process in (*self._busy, *self._idle)]

    def close(self) -> None:
        """End every process. Callers whose call is running get ProcessKilled."""
        if self._closed:
            return
        self._closed = True
        for process in (*self._busy, *self._idle):
            process.kill()
            self._threads.submit(process.reap)
        self._idle.clear()
        self._threads.shutdown()


class _Process:
    """One process. Make it in the main thread: it ends with the thread that made it, if `on_start` asks for that."""

    def __init__(self, setup: Frame) -> None:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and nothing that anybody sent
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ} | _FIXED | {"PYTHONPATH": path},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._arguments, self._answers = self._process.stdin, self._process.stdout
        self._setup = setup
        self._late = False
        self._beginning = threading.Lock()
        self.begun = False
        self.usable = True

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def begin(self) -> None:
        """Blocks until the process is ready to call the function. Raises ProcessKilled."""
        with self._beginning:
            if not self.begun:
                self._exchange(self._setup)
                self.begun = True

    def ask(self, call: Frame) -> tuple[bool, Any]:
        """Whether the function returned, and its result or its exception. Blocks. Raises OutOfTime, OutOfMemory,
        ProcessKilled."""
        returned, result = self._exchange(call)
        return returned, result

    def _exchange(self, sent: Frame) -> Any:
        try:
            for piece in sent:
                self._arguments.write(piece)
            self._arguments.flush()
            return received(self._answers)
        except (OSError, EOFError, ValueError) as error:  # a pipe that is broken, at its end, or closed by `reap`
            ended_by = self._process.wait()
            if self._late or ended_by == -signal.SIGPROF:
                raise OutOfTime from error
            if ended_by == OUT_OF_MEMORY:
                raise OutOfMemory from error
            raise ProcessKilled("the process was killed") from error

    def end_late(self) -> None:
        self._late = True
        self.kill()

    def kill(self) -> None:
        """Returns at once. The pipes of the process break, also for the thread that waits for its answer."""
        self.usable = False
        self._process.kill()

    def reap(self) -> None:
        """Blocks until a process that was killed is gone."""
        self._process.wait()
        for pipe in (self._arguments, self._answers):
            with suppress(OSError):  # closing flushes bytes that were never written, into a broken pipe
                pipe.close()
