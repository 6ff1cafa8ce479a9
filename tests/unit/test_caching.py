"""The cache policy: what is read through, what is dropped, and what an outage does to either."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import pytest

from fitness.adapters.memory.cache import InMemoryCache
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.listings import ActivityFilter, Page, Position
from fitness.domain.model.refusals import ActivityNotFound
from fitness.domain.use_cases.caching import (
    CachedReads,
    Copy,
    Origin,
    activity_key,
    activity_scope,
    listing_key,
    user_scope,
)
from fitness.ports.cache import CacheKey, CachePort, Hit, Miss, Scope, T
from fitness.ports.outages import CacheUnavailable
from tests.builders import an_activity

ONE = replace(an_activity(), id=1)


class Down:
    """A cache out of reach."""

    async def read(self, key: CacheKey[T]) -> Hit[T] | Miss:
        raise CacheUnavailable

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        raise CacheUnavailable

    async def invalidate(self, *scopes: Scope) -> None:
        raise CacheUnavailable


class DownForWrites(InMemoryCache):
    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        raise CacheUnavailable


@dataclass
class Loader:
    """Counts how often it is asked, and may have something happen first."""

    value: object = ONE
    meanwhile: Callable[[], Awaitable[None]] | None = None
    asked: int = 0

    async def __call__(self) -> object:
        self.asked += 1
        value = self.value
        if self.meanwhile is not None:
            await self.meanwhile()
        if isinstance(value, Exception):
            raise value
        return value


KEY = CacheKey("activity:{1}", activity_scope(1), 300, object)


async def test_the_first_read_loads_and_the_second_does_not():
    reads, load = CachedReads(InMemoryCache()), Loader()
    assert await reads.through(KEY, load) == Copy(ONE, Origin.MISS)
    assert await reads.through(KEY, load) == Copy(ONE, Origin.HIT)
    assert load.asked == 1


async def test_a_dropped_copy_is_loaded_anew():
    reads, load = CachedReads(InMemoryCache()), Loader()
    await reads.through(KEY, load)
    await reads.drop(activity_scope(1), user_scope(7))
    assert (await reads.through(KEY, load)).origin is Origin.MISS
    assert load.asked == 2


async def test_what_was_loaded_before_a_drop_is_not_kept_after_it():
    reads = CachedReads(InMemoryCache())
    slow = Loader("old", meanwhile=lambda: reads.drop(activity_scope(1)))
    assert (await reads.through(KEY, slow)).value == "old"
    assert await reads.through(KEY, Loader("new")) == Copy("new", Origin.MISS)


async def test_a_refusal_of_the_load_goes_on_and_is_not_kept():
    reads, refusing = CachedReads(InMemoryCache()), Loader(ActivityNotFound(1))
    for _ in range(2):
        with pytest.raises(ActivityNotFound):
            await reads.through(KEY, refusing)
    assert refusing.asked == 2


async def test_a_cache_that_is_down_is_gone_round():
    cache: CachePort = Down()
    reads, load = CachedReads(cache), Loader()
    assert await reads.through(KEY, load) == Copy(ONE, Origin.BYPASS)
    await reads.drop(activity_scope(1))


async def test_a_copy_that_cannot_be_kept_is_answered_all_the_same():
    reads, load = CachedReads(DownForWrites()), Loader()
    assert await reads.through(KEY, load) == Copy(ONE, Origin.MISS)


class TestKeys:
    def test_names_and_times_are_those_of_the_design(self):
        assert (activity_key(42).name, activity_key(42).ttl_s) == ("activity:{42}", 300)
        assert activity_key(42).scope == Scope("activity", 42)
        listing = listing_key(7, ActivityFilter(), Page(number=2, limit=50))
        assert (listing.name, listing.ttl_s) == ("activities:user:{7}:page:2:limit:50", 120)
        assert listing.scope == Scope("user", 7)

    def test_every_page_and_filter_has_a_name_of_its_own(self):
        at = datetime(2026, 1, 1, tzinfo=UTC)
        filters = [
            ActivityFilter(),
            ActivityFilter(activity_type=ActivityType.RUN),
            ActivityFilter(since=date(2026, 1, 1)),
            ActivityFilter(since=at),
            ActivityFilter(until=date(2026, 1, 1)),
            ActivityFilter(until=at),
            ActivityFilter(tags=("a",)),
            ActivityFilter(tags=("a", "b")),
            ActivityFilter(tags=("a', 'b",)),
            ActivityFilter(excluded_tags=("a",)),
            ActivityFilter(words="a"),
            ActivityFilter(words="run"),
        ]
        pages = [Page(), Page(number=2), Page(limit=21), Page(after=Position(at, 1)), Page(after=Position(at, 2))]
        names = {listing_key(7, which, page).name for which in filters for page in pages}
        assert len(names) == len(filters) * len(pages)
        assert all(name.startswith("activities:user:{7}:") for name in names)
