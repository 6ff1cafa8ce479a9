"""Recorded files read in processes of their own, each within bounds, so that nobody's file keeps others waiting."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import datetime
from pickle import PickleBuffer

from fitness.adapters.files.jobs import Job, carry_out, identify, read_activities
from fitness.domain.model.activities import NewActivity
from fitness.domain.model.refusals import RecordingCorrupt
from fitness.foundation.processes import KillableProcesses, OutOfMemory, OutOfTime, ProcessKilled, ProcessLimits
from fitness.foundation.turns import Turns
from fitness.ports.outages import Overloaded, ReaderUnavailable
from fitness.ports.recordings import FileIdentity

LIMITS = ProcessLimits(at_once=2, cpu_s=10, timeout_s=60, memory_bytes=256 * 1024**2)
"""For each worker of the service."""

QUICK_BYTES = 1_000_000
QUICK_CPU_S = 0.5
"""A file of that size is read in a tenth of that time, unless it was made to take long."""

IDENTIFY_CPU_S = 2.0
"""Five times what unpacking 25 MB takes."""

MOST_LONG = 8
"""Files that take long, one of which is read at a time: so there is always a process for those that do not."""

MOST_ADMITTED = 64
MOST_OF_A_USER = 16
"""Files being read or waiting for it."""


class FileRecordingReader:
    def __init__(self, on_start: Callable[[], None]) -> None:
        """`on_start` runs first in each process."""
        self._processes: KillableProcesses[Job, object] = KillableProcesses(carry_out, LIMITS, on_start)
        self._turns = Turns(most=MOST_ADMITTED, most_each=MOST_OF_A_USER, full=_too_many)
        self._long = Turns(most=MOST_LONG, most_each=MOST_LONG, full=_too_many)

    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]:
        return self._turns.of(user_id)

    async def identify(self, data: bytes) -> FileIdentity:
        with _translated():
            identity = await self._processes.run((identify, PickleBuffer(data), ()), cpu_s=IDENTIFY_CPU_S)
        assert isinstance(identity, FileIdentity)
        return identity

    async def read(
        self, data: bytes, identity: FileIdentity, *, home_timezone: str, now: datetime
    ) -> list[NewActivity]:
        job = read_activities, PickleBuffer(data), (identity.digest, home_timezone, now)
        with _translated():
            if identity.size_bytes <= QUICK_BYTES:
                with suppress(OutOfTime):
                    return await self._read(job, QUICK_CPU_S)
            async with self._long.of("long"):
                return await self._read(job, LIMITS.cpu_s)

    async def _read(self, job: Job, cpu_s: float) -> list[NewActivity]:
        activities = await self._processes.run(job, cpu_s=cpu_s)
        assert isinstance(activities, list)
        return activities

    def close(self) -> None:
        """What is being read is cut off, and raises ReaderUnavailable."""
        self._processes.close()


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
