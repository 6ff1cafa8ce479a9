"""A cache whose errors are counted by the kind of copy."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from fitness.ports.cache import CacheKey, CachePort, Era, Hit, Miss, Peeked, Scope, T
from fitness.ports.outages import CacheUnavailable
from fitness.ports.reply import Reply

INVALIDATION = "invalidation"
"""The kind under which a failed invalidation is counted: it concerns copies of every kind."""


class ObservedCache:
    def __init__(self, cache: CachePort, span: Callable[[str], AbstractContextManager[object]] = nullcontext) -> None:
        self._cache = cache
        self._span = span
        self.errors: Counter[tuple[str, ...]] = Counter()

    async def read(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss:
        try:
            with self._span("cache.read"):
                return await self._cache.read(key, era)
        except CacheUnavailable:
            self.errors[(key.kind,)] += 1
            raise

    async def peek(self, era: Era, *keys: CacheKey[Any]) -> Sequence[Peeked]:
        try:
            with self._span("cache.peek"):
                return await self._cache.peek(era, *keys)
        except CacheUnavailable:
            self.errors.update((key.kind,) for key in keys)
            raise

    def peek_soon(self, era: Era, *keys: CacheKey[Any]) -> Reply[Sequence[Peeked]] | None:
        """Failures of the reply are not counted: the caller then asks again, by a method that counts."""
        return self._cache.peek_soon(era, *keys)

    async def begin(self, key: CacheKey[Any], era: Era) -> Miss | None:
        try:
            return await self._cache.begin(key, era)
        except CacheUnavailable:
            self.errors[(key.kind,)] += 1
            raise

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        try:
            with self._span("cache.fill"):
                await self._cache.fill(key, value, miss)
        except CacheUnavailable:
            self.errors[(key.kind,)] += 1
            raise

    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        try:
            with self._span("cache.invalidate"):
                await self._cache.invalidate(era, *scopes)
        except CacheUnavailable:
            self.errors[(INVALIDATION,)] += 1
            raise

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        try:
            return await self._cache.claim(key, miss)
        except CacheUnavailable:
            self.errors[(key.kind,)] += 1
            raise

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        try:
            await self._cache.give_up(key, miss)
        except CacheUnavailable:
            self.errors[(key.kind,)] += 1
            raise

    async def reconnect(self) -> None:
        await self._cache.reconnect()

    async def run_id(self) -> str:
        return await self._cache.run_id()
