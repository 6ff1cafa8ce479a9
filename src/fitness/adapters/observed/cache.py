"""A cache whose hits, misses and errors are counted."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from fitness.adapters.observed.metrics import Counts
from fitness.ports.cache import CacheKey, CachePort, Era, Hit, Miss, Scope, T
from fitness.ports.outages import CacheUnavailable

CACHES = {"activity": "activity", "user": "listing", "account": "tier"}
"""What is kept, by the kind of its scope."""


class ObservedCache:
    def __init__(self, cache: CachePort, span: Callable[[str], AbstractContextManager[object]] = nullcontext) -> None:
        self._cache = cache
        self._span = span
        self.hits: Counts = Counter()
        self.misses: Counts = Counter()
        self.errors: Counts = Counter()

    async def read(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss:
        cache = _name(key.scope)
        try:
            with self._span("cache.read"):
                found = await self._cache.read(key, era)
        except CacheUnavailable:
            self.errors[cache] += 1
            raise
        (self.hits if isinstance(found, Hit) else self.misses)[cache] += 1
        return found

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        try:
            with self._span("cache.fill"):
                await self._cache.fill(key, value, miss)
        except CacheUnavailable:
            self.errors[_name(key.scope)] += 1
            raise

    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        try:
            with self._span("cache.invalidate"):
                await self._cache.invalidate(era, *scopes)
        except CacheUnavailable:
            self.errors.update(_name(scope) for scope in scopes)
            raise

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        try:
            return await self._cache.claim(key, miss)
        except CacheUnavailable:
            self.errors[_name(key.scope)] += 1
            raise

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        try:
            await self._cache.give_up(key, miss)
        except CacheUnavailable:
            self.errors[_name(key.scope)] += 1
            raise

    async def reconnect(self) -> None:
        await self._cache.reconnect()

    async def run_id(self) -> str:
        return await self._cache.run_id()


def _name(scope: Scope) -> tuple[str]:
    return (CACHES.get(scope.kind, "other"),)
