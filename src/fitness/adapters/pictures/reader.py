"""Uploaded pictures read in a separate process with limits, so that no user's picture keeps other users waiting."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from pickle import PickleBuffer

from fitness.domain.model.file_refusals import PictureCorrupt, PictureTooManyPixels
from fitness.domain.model.photos import MAX_PHOTOS, Picture
from fitness.foundation.processes import KillableProcesses, OutOfMemory, OutOfTime, ProcessKilled, ProcessLimits
from fitness.foundation.turns import Turns
from fitness.ports.outages import Overloaded, ReaderUnavailable

LIMITS = ProcessLimits(at_once=1, cpu_s=8, timeout_s=60, memory_bytes=200 * 1024**2)
"""The limits of one worker of the service, which reads one picture after the other. The largest take 2 s."""

NICENESS = 10

MOST_ADMITTED = 64
MOST_OF_A_USER = MAX_PHOTOS
"""Pictures that are read or wait to be read. Of each user one is read at a time, so that nobody waits for all pictures
of another user."""


class PillowPictureReader:
    def __init__(self, on_start: Callable[[], None], limits: ProcessLimits = LIMITS) -> None:
        """`on_start` runs first in the process, which starts with the first picture."""
        self._processes: KillableProcesses[bytes | PickleBuffer, Picture] = KillableProcesses(
            _render, limits, partial(_begin, on_start)
        )
        self._turns = Turns(most=MOST_ADMITTED, most_each=MOST_OF_A_USER, full=_too_many)

    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]:
        return self._turns.of(user_id)

    async def read(self, data: bytes) -> Picture:
        with _translated():
            return await self._processes.run(PickleBuffer(data))

    @property
    def readings(self) -> int:
        """The number of pictures that are read or wait to be read."""
        return self._turns.count

    def pids(self) -> list[int]:
        """The ids of the processes that run now."""
        return self._processes.pids()

    def close(self) -> None:
        """End the processes; a `read` that is under way raises ReaderUnavailable."""
        self._processes.close()


# Pillow is imported in the process that reads, and not by the service itself.


def _begin(on_start: Callable[[], None]) -> None:
    from fitness.adapters.pictures import rendering as rendering

    on_start()
    os.nice(NICENESS)


def _render(data: bytes | PickleBuffer) -> Picture:
    from fitness.adapters.pictures.rendering import render

    return render(data)


def _too_many() -> Overloaded:
    return Overloaded("too many pictures wait to be read")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OutOfTime as error:
        raise PictureCorrupt("it takes too long to read") from error
    except OutOfMemory as error:
        raise PictureTooManyPixels("it takes too much memory to read") from error
    except ProcessKilled as error:
        raise ReaderUnavailable("the reading of the picture was cut off") from error
