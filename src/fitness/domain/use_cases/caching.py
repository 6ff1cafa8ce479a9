"""The cache policy, all of it: keys, scopes and times to live; reading through; dropping what a change made stale.

A copy is never older than a change that was acknowledged: the generation is taken before the database is read, and a
change gives its scopes a new one after it is committed and before it is answered. A cache that is out of reach is gone
round.
"""

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from fitness.domain.model.activities import Activity
from fitness.domain.model.listings import ActivityFilter, Listing, Page
from fitness.ports.cache import CacheKey, CachePort, Hit, Scope
from fitness.ports.outages import CacheUnavailable

T = TypeVar("T")

ACTIVITY_TTL_S = 5 * 60
LISTING_TTL_S = 2 * 60


class Origin(StrEnum):
    """Where an answer came from, as the X-Cache header spells it."""

    HIT = "HIT"
    MISS = "MISS"
    BYPASS = "BYPASS"


@dataclass(frozen=True, slots=True)
class Copy(Generic[T]):
    value: T
    origin: Origin


def activity_scope(activity_id: int) -> Scope:
    return Scope("activity", activity_id)


def user_scope(user_id: int) -> Scope:
    """All that is made of a user's activities together: pages, filters, statistics."""
    return Scope("user", user_id)


def activity_key(activity_id: int) -> CacheKey[Activity]:
    return CacheKey(f"activity:{{{activity_id}}}", activity_scope(activity_id), ACTIVITY_TTL_S, Activity)


def listing_key(user_id: int, which: ActivityFilter, page: Page) -> CacheKey[Listing[Activity]]:
    name = f"activities:user:{{{user_id}}}:page:{page.number}:limit:{page.limit}"
    if which != ActivityFilter() or page.after:
        name += ":" + hashlib.sha256(repr((which, page.after)).encode()).hexdigest()[:32]
    return CacheKey(name, user_scope(user_id), LISTING_TTL_S, Listing[Activity])


@dataclass(frozen=True, slots=True)
class CachedReads:
    """Reads through the cache, and keeps it honest about writes."""

    cache: CachePort

    async def through(self, key: CacheKey[T], load: Callable[[], Awaitable[T]]) -> Copy[T]:
        """The copy under `key`, or what `load` returns, which is kept. What `load` raises goes on."""
        try:
            found = await self.cache.read(key)
        except CacheUnavailable:
            return Copy(await load(), Origin.BYPASS)
        if isinstance(found, Hit):
            return Copy(found.value, Origin.HIT)
        value = await load()
        with suppress(CacheUnavailable):
            await self.cache.fill(key, value, found)
        return Copy(value, Origin.MISS)

    async def drop(self, *scopes: Scope) -> None:
        """Make every copy in `scopes` stale; to be called between a commit and its answer."""
        with suppress(CacheUnavailable):
            await self.cache.invalidate(*scopes)
