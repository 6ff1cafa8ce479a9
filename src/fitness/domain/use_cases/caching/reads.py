"""Reading through the cache: hit, miss or bypass, and one load for all who miss the same value."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from fitness.domain.use_cases.caching.lease import Lease
from fitness.ports.cache import CLAIM_TTL_S, CacheKey, CachePort, Hit, Miss, Peeked, ReadCountsPort
from fitness.ports.outages import CacheUnavailable, Overloaded
from fitness.ports.reply import Reply

T = TypeVar("T")

FIRST_WAIT_S = 0.005
LONGEST_WAIT_S = CLAIM_TTL_S / 4
"""How long a reader waits for the process that claimed the load, before it loads the value itself."""

Load = Callable[[], Coroutine[Any, Any, T]]


class Origin(StrEnum):
    """Where an answer came from, as the X-Cache header spells it."""

    HIT = "HIT"
    MISS = "MISS"
    BYPASS = "BYPASS"


@dataclass(frozen=True, slots=True)
class Copy(Generic[T]):
    value: T
    origin: Origin


class CachedReads:
    """One process's reads through the cache."""

    def __init__(
        self,
        cache: CachePort,
        lease: Lease,
        counts: ReadCountsPort,
        *,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._cache = cache
        self._lease = lease
        self._counts = counts
        self._pause = pause
        self._loads: dict[tuple[str, bytes], asyncio.Task[Any]] = {}

    async def peek(self, *keys: CacheKey[Any]) -> Sequence[Peeked]:
        """Look up each key, in one round trip; a copy is returned as its JSON text. Nothing is counted.

        Every result is None if the cache may not be read, or does not answer.
        """
        era = self._lease.readable()
        if era is not None:
            with suppress(CacheUnavailable):
                return await self._cache.peek(era, *keys)
        return [None] * len(keys)

    def peek_soon(self, *keys: CacheKey[Any]) -> Reply[Sequence[Peeked]] | None:
        """As `peek`, but sent at once. None if the cache may not be read, is down, or needs more than one question."""
        era = self._lease.readable()
        return None if era is None else self._cache.peek_soon(era, *keys)

    def count_hit(self, key: CacheKey[Any]) -> None:
        """Count a hit: a reader was shown the copy that `peek` found."""
        self._counts.count(key.kind, Origin.HIT)

    async def read_through(self, key: CacheKey[T], load: Load[T], *, miss: Miss | None = None) -> Copy[T]:
        """The cached value; on a miss the result of `load`, which is then cached. Exceptions of `load` are passed on.

        `miss` is what a `peek` found for the key: with it the cache is not asked again.
        """
        if miss is None:
            return await self._read(key, load)
        self._counts.count(key.kind, Origin.MISS)
        return Copy(await self._single_flight(key, miss, load), Origin.MISS)

    async def begin(self, key: CacheKey[Any]) -> Miss | None:
        """Give the scope of `key` its first generation, before the value is created or loaded for the first time.

        The generation is made before the value, as always: every later change of the value makes another generation.
        None if the cache may not be read or does not answer, or if the scope has a generation already.
        """
        era = self._lease.readable()
        if era is not None:
            with suppress(CacheUnavailable):
                return await self._cache.begin(key, era)
        return None

    async def write_through(self, key: CacheKey[T], created: T, begun: Miss | None) -> None:
        """Cache a created value for its next readers; `begun` is what `begin` returned before the value was created."""
        if begun is not None:
            with suppress(CacheUnavailable, Overloaded):
                await self._cache.fill(key, created, begun)

    async def _read(self, key: CacheKey[T], load: Load[T]) -> Copy[T]:
        """The lease is checked after the read has begun. If the lease is valid at that time, every write that was
        acknowledged before the read either was invalidated in the lease's era, or closed the cache. In the second case
        the lease says that the cache is closed.
        """
        found = await self._found(key)
        if isinstance(found, Hit):
            self._counts.count(key.kind, Origin.HIT)
            return Copy(found.value, Origin.HIT)
        origin = Origin.BYPASS if found is None else Origin.MISS
        self._counts.count(key.kind, origin)
        return Copy(await (load() if found is None else self._single_flight(key, found, load)), origin)

    async def _found(self, key: CacheKey[T]) -> Hit[T] | Miss | None:
        """What the cache has for the key; None if the cache may not be read, or does not answer."""
        era = await self._lease.to_read()
        if era is None:
            return None
        try:
            return await self._cache.read(key, era)
        except CacheUnavailable:
            return None

    async def _single_flight(self, key: CacheKey[T], miss: Miss, load: Load[T]) -> T:
        """The result of one load, for all readers that miss the same value under the same generation.

        A reader that joins a running load is shown nothing old. A write that was acknowledged before the reader came
        gave the scope another generation, so the reader's miss has another name, and the reader joins another load.
        """
        name = (key.name, miss.generation)
        task = self._loads.get(name)
        if task is None:
            task = self._loads[name] = asyncio.create_task(self._load(key, miss, load))
            task.add_done_callback(lambda done: self._loaded(name, done))
        # Shielded: if the client of one reader disconnects, the load goes on for the other readers.
        value: T = await asyncio.shield(task)
        return value

    def _loaded(self, name: tuple[str, bytes], task: asyncio.Task[Any]) -> None:
        del self._loads[name]
        if not task.cancelled():
            task.exception()  # marks it as retrieved: waiting readers get it; if all have left, nobody needs it

    async def _load(self, key: CacheKey[T], miss: Miss, load: Load[T]) -> T:
        """Load and fill, or take the value that another process loads. If the cache fails at any step, only load."""
        try:
            if not await self._cache.claim(key, miss):
                found = await self._filled_by_another(key, miss)
                if found is not None:
                    return found.value
        except CacheUnavailable:
            return await load()
        try:
            value = await load()
        except BaseException:
            with suppress(CacheUnavailable):
                await self._cache.give_up(key, miss)
            raise
        with suppress(CacheUnavailable):
            await self._cache.fill(key, value, miss)
        return value

    async def _filled_by_another(self, key: CacheKey[T], miss: Miss) -> Hit[T] | None:
        """The value that the claiming process fills in. None if the caller has to load the value: the claim has ended,
        the scope has another generation, or LONGEST_WAIT_S has passed.
        """
        waited_s, pause_s = 0.0, FIRST_WAIT_S
        while waited_s < LONGEST_WAIT_S:
            await self._pause(pause_s)
            waited_s, pause_s = waited_s + pause_s, pause_s * 2
            found = await self._cache.read(key, miss.era)
            if isinstance(found, Hit):
                return found
            if found != miss or await self._cache.claim(key, miss):
                return None
        return None
