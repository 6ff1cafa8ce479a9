"""The lease: whether this process may read from the cache, and which server's copies count.

One row in the database says both (`CacheStatePort`). Each process reads the row every RENEW_S; what it read is its
lease for LEASE_S, counted from before the query was sent. So a lease's length after the row was changed, no process
relies on what the row said before, whatever happened to the process meanwhile.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fitness.ports.cache import Era
from fitness.ports.cache_state import CacheState, CacheStatePort, Transition
from fitness.ports.outages import DatabaseUnavailable

LEASE_S = 1.0
RENEW_S = 0.2
"""How often each process renews its lease, and looks at what else there is to do for the cache."""

RECOVERY_S = 0.1
"""How often while the cache is not to be read."""

EXPIRY_S = LEASE_S * 1.1
"""After this every lease is over, by any process's clock: they run at the same rate within a tenth."""

PROMPT_S = 0.5
"""A query that failed within this failed because of the database. One that took longer may have failed because this
process was paused or starved, and says nothing about the database."""


class Lease:
    """One process's lease."""

    def __init__(
        self,
        states: CacheStatePort,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._states = states
        self._monotonic_s = monotonic_s
        self._pause = pause
        self._state: CacheState | None = None
        self._asked_s = float("-inf")
        self._valid_until_s = float("-inf")
        self._closed_since_s = float("inf")
        self._renewal: asyncio.Task[CacheState] | None = None

    @property
    def state(self) -> CacheState | None:
        """As last read, however long ago."""
        return self._state

    @property
    def valid(self) -> bool:
        return self._monotonic_s() < self._valid_until_s

    @property
    def closed(self) -> bool:
        return self._state is None or self._state.closed

    @property
    def usable(self) -> bool:
        """Whether the cache may be read now."""
        return self.readable() is not None

    def readable(self) -> Era | None:
        """The era to read from; None without a valid lease that says open."""
        state = self._state
        if state is None or state.closed or not self.valid:
            return None
        return state.era

    async def to_read(self) -> Era | None:
        """As `readable`. A process whose lease ran out, since it was paused or starved, first renews it."""
        if not self.valid:
            with suppress(DatabaseUnavailable):  # then the last lease was prolonged, or there is none
                await self.renew()
        return self.readable()

    async def renew(self) -> CacheState:
        """Read the row; one query for all who wait. Raises DatabaseUnavailable.

        A process that cannot reach the database keeps its last lease: nothing can be changed through such a process,
        and for a stale read the cache would have to fail as well.
        """
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.ensure_future(self._renew())
            self._renewal.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._renewal)

    async def ask(self, query: Callable[[], Awaitable[Transition]]) -> Transition:
        """What a change of the row answers, which is then the lease. Raises DatabaseUnavailable."""
        asked_s = self._monotonic_s()
        transition = await query()
        self._learn(transition.state, asked_s=asked_s)
        return transition

    def _learn(self, state: CacheState, *, asked_s: float) -> None:
        """What the row said in the answer to a query that was sent at `asked_s` on the monotonic clock."""
        if self._state is not None and state.epoch < self._state.epoch and asked_s < self._asked_s:
            return  # a later answer overtook this one
        if not state.closed:
            self._closed_since_s = float("inf")
        elif not self._closed_all_along(state):
            self._closed_since_s = self._monotonic_s()  # it was closed before; this process knows since now
        self._state, self._asked_s, self._valid_until_s = state, asked_s, asked_s + LEASE_S

    def _closed_all_along(self, state: CacheState) -> bool:
        """Whether the cache was not open since the row was read last: at most one change, from closed to closed."""
        last = self._state
        return last is not None and last.closed and last.epoch <= state.epoch <= last.epoch + 1

    def others_expired(self, closed: CacheState) -> bool:
        """Whether every lease from before this closure is over, on every process."""
        return self._monotonic_s() >= self._expiry_s(closed)

    async def until_others_expired(self, closed: CacheState) -> None:
        expiry_s = self._expiry_s(closed)
        while (left_s := expiry_s - self._monotonic_s()) > 0:
            await self._pause(left_s)

    def _expiry_s(self, closed: CacheState) -> float:
        known = self._state is not None and self._state.epoch == closed.epoch
        return (self._closed_since_s if known else self._monotonic_s()) + EXPIRY_S

    async def _renew(self) -> CacheState:
        asked_s = self._monotonic_s()
        try:
            state = await self._states.read()
        except DatabaseUnavailable:
            if self._state is not None and self._monotonic_s() - asked_s < PROMPT_S:
                self._valid_until_s = max(self._valid_until_s, asked_s + LEASE_S)
            raise
        self._learn(state, asked_s=asked_s)
        return state
