"""One process's use of the cache: its lease, reads, changes and relay, over a store that processes share."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from fitness.adapters.memory.cache_state import InMemoryCacheState
from fitness.adapters.memory.outbox import InMemoryOutbox
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.observed.reads import ReadCounts
from fitness.domain.use_cases.caching.invalidation import Changes, OutboxRelay
from fitness.domain.use_cases.caching.lease import Lease
from fitness.domain.use_cases.caching.reads import CachedReads
from fitness.ports.cache import CachePort
from fitness.ports.cache_state import CacheStatePort


class CachingProcess:
    def __init__(
        self,
        cache: CachePort,
        store: InMemoryStore,
        *,
        outbox: InMemoryOutbox | None = None,
        states: CacheStatePort | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        states = states or InMemoryCacheState(store)
        self.lease = Lease(states, monotonic_s=monotonic_s, pause=pause)
        self.counts = ReadCounts()
        self.reads = CachedReads(cache, self.lease, self.counts, pause=pause)
        self.changes = Changes(cache, states, self.lease, pause=pause)
        self.relay = OutboxRelay(cache, outbox or InMemoryOutbox(store), states, self.lease, self.changes)
