"""The cache's state, with its closings counted by reason."""

from collections import Counter

from fitness.ports.cache_state import CacheState, CacheStatePort, Transition
from fitness.ports.outbox import PendingInvalidation

UNCONFIRMED = "unconfirmed"
"""An invalidation was not confirmed."""

ANOTHER_SERVER = "another_server"
"""Redis was restarted, or another server took its place."""

REASONS = (UNCONFIRMED, ANOTHER_SERVER)


class ObservedCacheState:
    def __init__(self, states: CacheStatePort) -> None:
        self._states = states
        self.closings: Counter[tuple[str, ...]] = Counter()

    async def read(self) -> CacheState:
        return await self._states.read()

    async def close(self, unconfirmed: PendingInvalidation) -> Transition:
        transition = await self._states.close(unconfirmed)
        self.closings[(UNCONFIRMED,)] += transition.changed
        return transition

    async def open(self, *, epoch: int) -> Transition:
        return await self._states.open(epoch=epoch)

    async def name_server(self, run_id: str, *, epoch: int) -> Transition:
        transition = await self._states.name_server(run_id, epoch=epoch)
        self.closings[(ANOTHER_SERVER,)] += transition.changed and transition.state.closed
        return transition
