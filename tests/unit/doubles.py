"""Stand-ins for what a test wants to break, to order or to watch."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fitness.adapters.memory.cache import InMemoryCache
from fitness.ports.cache import CacheKey, Era, Hit, Miss, Peeked, Scope, T
from fitness.ports.reply import Reply

Before = Callable[[str], Awaitable[object]]


class WatchedCache:
    """A cache that awaits `before` with the name of each call. That may count calls, hold them up, or raise.

    `inner` keeps the copies; it may be shared by several of these, and replaced.
    """

    def __init__(self, before: Before, inner: InMemoryCache | None = None) -> None:
        self.before = before
        self.inner = inner or InMemoryCache()

    async def read(self, key: CacheKey[T], era: Era) -> Hit[T] | Miss:
        await self.before("read")
        return await self.inner.read(key, era)

    async def peek(self, era: Era, *keys: CacheKey[Any]) -> Sequence[Peeked]:
        await self.before("peek")
        return await self.inner.peek(era, *keys)

    def peek_soon(self, era: Era, *keys: CacheKey[Any]) -> Reply[Sequence[Peeked]] | None:
        return None

    async def begin(self, key: CacheKey[Any], era: Era) -> Miss | None:
        await self.before("begin")
        return await self.inner.begin(key, era)

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        await self.before("fill")
        await self.inner.fill(key, value, miss)

    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        await self.before("invalidate")
        await self.inner.invalidate(era, *scopes)

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        await self.before("claim")
        return await self.inner.claim(key, miss)

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        await self.before("give_up")
        await self.inner.give_up(key, miss)

    async def reconnect(self) -> None:
        await self.before("reconnect")
        await self.inner.reconnect()

    async def run_id(self) -> str:
        await self.before("run_id")
        return await self.inner.run_id()
