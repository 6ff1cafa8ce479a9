"""Recorded files read in separate processes with limits, so that no user's file keeps other users waiting."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import datetime
from functools import partial
from pickle import PickleBuffer

from fitness.adapters.files.jobs import Job, carry_out, identify, read_activities
from fitness.adapters.files.places import load
from fitness.domain.model.file_refusals import RecordingCorrupt
from fitness.domain.model.recordings import ReadRecording
from fitness.foundation.processes import KillableProcesses, OutOfMemory, OutOfTime, ProcessKilled, ProcessLimits
from fitness.foundation.turns import Turns
from fitness.ports.outages import Overloaded, ReaderUnavailable
from fitness.ports.recordings import FileIdentity

QUICK = ProcessLimits(at_once=2, cpu_s=0.3, timeout_s=30, memory_bytes=128 * 1024**2)
"""Limits for identifying files, and for reading those that are quick to read: a file of QUICK_BYTES takes a tenth of a
second, unless it was made to take more. So nobody waits long for one of these processes.
"""

LONG = ProcessLimits(at_once=1, cpu_s=8, timeout_s=120, memory_bytes=256 * 1024**2)
"""Limits for reading all other files, one at a time and at a low priority, in one worker of the service."""

QUICK_BYTES = 1_000_000

IDENTIFY_CPU_S = 2.0
"""Five times the CPU time of unpacking 25 MB."""

MOST_LONG = 8
"""Files in the queue for a long reading, including the one that is read."""

NICENESS = 10

MOST_ADMITTED = 64
MOST_OF_A_USER = 16
"""Files that are read or wait to be read."""


class FileRecordingReader:
    def __init__(self, on_start: Callable[[], None]) -> None:
        """`on_start` runs first in each process."""
        self._quick: KillableProcesses[Job, object] = KillableProcesses(carry_out, QUICK, partial(_get_ready, on_start))
        self._long: KillableProcesses[Job, object] = KillableProcesses(
            carry_out, LONG, partial(_get_ready, partial(_give_way, on_start))
        )
        self._turns = Turns(most=MOST_ADMITTED, most_each=MOST_OF_A_USER, full=_too_many)
        self._long_turns = Turns(most=MOST_LONG, most_each=MOST_LONG, full=_too_many)

    def prepare(self) -> None:
        """Start the processes for short readings now, and not only when a file comes. Returns at once."""
        self._quick.prepare()

    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]:
        return self._turns.of(user_id)

    async def identify(self, data: bytes) -> FileIdentity:
        with _translated():
            identity = await self._quick.run((identify, PickleBuffer(data), ()), cpu_s=IDENTIFY_CPU_S)
        assert isinstance(identity, FileIdentity)
        return identity

    async def read(self, data: bytes, identity: FileIdentity, *, home_timezone: str, now: datetime) -> ReadRecording:
        job = read_activities, PickleBuffer(data), (identity.digest, home_timezone, now)
        with _translated():
            read = await self._read_quickly(job) if identity.size_bytes <= QUICK_BYTES else None
            if read is None:
                async with self._long_turns.of("long"):
                    read = await self._long.run(job)
        assert isinstance(read, ReadRecording)
        return read

    async def _read_quickly(self, job: Job) -> object | None:
        """None if it takes more than QUICK allows."""
        with suppress(OutOfTime, OutOfMemory):
            return await self._quick.run(job)
        return None

    @property
    def long_readings(self) -> int:
        """The number of files in the queue for a long reading, including the one that is read."""
        return self._long_turns.count

    def pids(self) -> list[int]:
        """The ids of the processes that run now."""
        return [*self._quick.pids(), *self._long.pids()]

    def close(self) -> None:
        """End the processes; a `read` that is under way raises ReaderUnavailable."""
        self._quick.close()
        self._long.close()


def _get_ready(on_start: Callable[[], None]) -> None:
    """Do what takes time before the first call, so that it does not count as that call's time."""
    on_start()
    load()


def _give_way(on_start: Callable[[], None]) -> None:
    on_start()
    os.nice(NICENESS)


def _too_many() -> Overloaded:
    return Overloaded("too many files wait to be read")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OutOfTime as error:
        raise RecordingCorrupt("it takes too long to read") from error
    except OutOfMemory as error:
        raise RecordingCorrupt("it takes too much memory to read") from error
    except ProcessKilled as error:
        raise ReaderUnavailable("the reading of the file was cut off") from error
