"""The lease: whether this process may read from the cache, and which server's copies count.

One row in the database says both (`CacheStatePort`). Each process reads the row every RENEW_S. The row as read is the
process's lease for LEASE_S, counted from before the query was sent. So once a lease's length has passed after a change
of the row, no process relies on the row as it was before the change, whatever happened to the process meanwhile.
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
"""The pause between two rounds of the relay, each of which renews the process's lease."""

RECOVERY_S = 0.1
"""The pause between two rounds of the relay while the cache may not be read."""

EXPIRY_S = LEASE_S * 1.1
"""After this time every earlier lease has expired, by any process's clock: their rates differ by a tenth at most."""

PROMPT_S = 0.5
"""A query that fails within this time fails because of the database. A query that takes longer may fail because this
process was paused or starved of CPU; its failure says nothing about the database."""


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
        """The row as last read, however long ago; None before the first read."""
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
        """As `readable`, but a lease that has expired, because the process was paused or starved, is first renewed."""
        if not self.valid:
            with suppress(DatabaseUnavailable):  # then `renew` prolonged the last lease, or no lease is valid
                await self.renew()
        return self.readable()

    async def renew(self) -> CacheState:
        """Read the row, with one query for all callers that wait. Raises DatabaseUnavailable.

        A process that cannot reach the database keeps its last lease: no change can be written through that process,
        and a stale read would take a second fault, in the cache.
        """
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.ensure_future(self._renew())
            self._renewal.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._renewal)

    async def ask(self, query: Callable[[], Awaitable[Transition]]) -> Transition:
        """Run `query`, which changes the row; the row that it returns becomes the lease. Raises DatabaseUnavailable."""
        asked_s = self._monotonic_s()
        transition = await query()
        self._learn(transition.state, asked_s=asked_s)
        return transition

    def _learn(self, state: CacheState, *, asked_s: float) -> None:
        """Take over the row from the answer to a query that was sent at `asked_s` on the monotonic clock."""
        if self._state is not None and state.epoch < self._state.epoch and asked_s < self._asked_s:
            return  # the answer to a later query arrived first
        if not state.closed:
            self._closed_since_s = float("inf")
        elif not self._closed_all_along(state):
            self._closed_since_s = self._monotonic_s()  # it was closed earlier, but this process learns of it now
        self._state, self._asked_s, self._valid_until_s = state, asked_s, asked_s + LEASE_S

    def _closed_all_along(self, state: CacheState) -> bool:
        """Whether the cache has not been open since the last read of the row.

        The epoch proves it: at most one change, from closed to closed. Opening and closing again would be two changes.
        """
        last = self._state
        return last is not None and last.closed and last.epoch <= state.epoch <= last.epoch + 1

    def others_expired(self, closed: CacheState) -> bool:
        """Whether every lease from before this closure has expired, on every process."""
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
