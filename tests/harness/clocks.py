"""Clocks for tests: one that is turned by hand, and one that leaves out the machine's own pauses."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fitness.domain.model.rate_limits import SECOND_US

TICK_S = 0.005
LONGEST_TICK_S = 0.05


class TurnedClock:
    """A monotonic clock that moves when it is turned."""

    def __init__(self, now_s: float = 5_000.0) -> None:
        self._now_us = round(now_s * SECOND_US)

    @property
    def now_s(self) -> float:
        return self._now_us / SECOND_US

    @now_s.setter
    def now_s(self, now_s: float) -> None:
        self._now_us = round(now_s * SECOND_US)

    def monotonic_s(self) -> float:
        return self.now_s

    async def turn(self, by_us: int) -> None:
        self._now_us += by_us


class LoopClock:
    """Seconds during which the event loop ran.

    Where service and load share one process, a machine that gives it no core makes every answer late, and that says
    nothing about the service. So the clock ticks on the loop itself, and a tick that took longer than LONGEST_TICK_S
    counts as that long: a request that waits for a store is measured in full, a stall of the process is not.
    """

    def __init__(self) -> None:
        self._at_tick_s = 0.0
        self._ticked_s = time.monotonic()

    def now_s(self) -> float:
        return self._at_tick_s + min(time.monotonic() - self._ticked_s, LONGEST_TICK_S)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._at_tick_s, self._ticked_s = self.now_s(), time.monotonic()


@asynccontextmanager
async def loop_clock() -> AsyncIterator[LoopClock]:
    clock = LoopClock()
    ticking = asyncio.ensure_future(clock._tick())
    try:
        yield clock
    finally:
        ticking.cancel()
