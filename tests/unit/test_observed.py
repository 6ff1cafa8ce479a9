"""The wrappers that count and time a port, and the table of what is measured."""

import re
from pathlib import Path
from typing import Any

import pytest

from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.adapters.observed.cache import ObservedCache
from fitness.adapters.observed.timed import timed
from fitness.adapters.telemetry.table import INSTRUMENTS
from fitness.domain.model.listings import ActivityFilter, Page
from fitness.domain.use_cases.caching.keys import KINDS, activity_key, listing_key, tier_key, user_scope
from fitness.ports.cache import CacheKey, Miss, Scope
from fitness.ports.outages import CacheUnavailable

README = (Path(__file__).parents[2] / "README.md").read_text()


class Down(InMemoryCache):
    async def invalidate(self, *scopes: Scope) -> None:
        raise CacheUnavailable("down")


async def test_a_copy_is_counted_by_its_kind_whatever_its_scope():
    cache = ObservedCache(InMemoryCache())
    statistics = CacheKey("stats:user:{7}:weekly", user_scope(7), 60, int, "stats")
    miss = await cache.read(statistics)
    assert isinstance(miss, Miss)
    await cache.fill(statistics, 3, miss)
    await cache.read(statistics)
    assert (cache.misses, cache.hits) == ({("stats",): 1}, {("stats",): 1})


async def test_an_invalidation_that_fails_is_one_error_however_many_scopes_it_has():
    cache = ObservedCache(Down())
    with pytest.raises(CacheUnavailable):
        await cache.invalidate(Scope("user", 1), Scope("activity", 2))
    assert cache.errors == {("invalidation",): 1}


def test_every_key_has_one_of_the_kinds_that_are_counted_from_the_start():
    keys: list[CacheKey[Any]] = [activity_key(1), listing_key(1, ActivityFilter(), Page()), tier_key(1)]
    assert {key.kind for key in keys} == set(KINDS)


def test_nothing_can_be_done_with_the_result_of_a_method_that_is_not_there():
    with pytest.raises(ValueError, match="InMemoryUserRepo has no coroutine method added"):
        timed(InMemoryUserRepo(InMemoryStore()), "users", lambda *_: None, then={"added": lambda _: None})


def test_the_readme_has_the_table_of_instruments():
    rows = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| (.*?) \|", README, re.MULTILINE)
    listed = [(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows]
    assert listed == [(row.name, row.kind, row.labels) for row in INSTRUMENTS]
