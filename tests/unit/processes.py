"""One process's use of the cache: its lease, reads, changes and relay, over a store that processes share."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from fitness.adapters.memory.cache_state import InMemoryCacheState
from fitness.adapters.memory.outbox import InMemoryOutbox
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.observed.reads import ReadCounts
from fitness.domain.use_cases.caching.invalidation import Changes, OutboxRelay
from fitness.domain.use_cases.caching.lease import Lease
from fitness.domain.use_cases.caching.reads import CachedReads
from fitness.ports.cache import CacheKey, CachePort, Peeked
from fitness.ports.cache_state import CacheStatePort
from fitness.ports.reply import Reply


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


def replied(answering: Coroutine[Any, Any, Sequence[Peeked]]) -> Reply[Sequence[Peeked]]:
    """What a store was asked, by a coroutine that answers it."""
    reply: Reply[Sequence[Peeked]] = Reply()
    task = asyncio.ensure_future(answering)

    def settle(done: "asyncio.Task[Sequence[Peeked]]") -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled():
            reply.abandon()
        elif isinstance(error, Exception):
            reply.set_exception(error)
        else:
            reply.set_result(done.result())

    task.add_done_callback(settle)
    return reply


async def peeked(reads: CachedReads, key: CacheKey[Any]) -> Peeked:
    """As the short way peeks: it asks at once, and looks when the reply is there."""
    reply = reads.peek_soon(key)
    if reply is None:
        return (await reads.peek(key))[0]
    there = asyncio.Event()
    reply.when_done(lambda _: there.set())
    await there.wait()
    return None if reply.failed else reply.value[0]
