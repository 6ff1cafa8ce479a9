"""The wrappers that count and time a port, and the table of what is measured."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.cache_state import InMemoryCacheState
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.adapters.observed.cache import ObservedCache
from fitness.adapters.observed.cache_state import ObservedCacheState
from fitness.adapters.observed.reads import ReadCounts
from fitness.adapters.observed.timed import timed
from fitness.adapters.telemetry.table import INSTRUMENTS
from fitness.domain.model.listings import ActivityFilter, Page
from fitness.domain.model.periods import Period
from fitness.domain.model.statistics import StatisticsFilter
from fitness.domain.model.users import WeekStart
from fitness.domain.use_cases.caching.keys import (
    KINDS,
    activity_key,
    calendar_key,
    listing_key,
    photos_key,
    standing_key,
    statistics_key,
    tags_key,
    timezone_key,
)
from fitness.ports.cache import INTERNAL_KINDS, CacheKey, Era, Scope
from fitness.ports.outages import CacheUnavailable
from fitness.ports.outbox import PendingInvalidation

README = (Path(__file__).parents[2] / "README.md").read_text()


class Down(InMemoryCache):
    async def invalidate(self, era: Era, *scopes: Scope) -> None:
        raise CacheUnavailable("down")


def test_reads_are_counted_by_kind_and_by_what_the_reader_got():
    counts = ReadCounts()
    for origin in ("HIT", "HIT", "MISS", "BYPASS"):
        counts.count("stats", origin)
    assert (counts.hits, counts.misses, counts.bypasses) == ({("stats",): 2}, {("stats",): 1}, {("stats",): 1})
    assert counts.internal == {}


def test_what_the_service_reads_for_itself_is_in_no_hit_ratio():
    counts = ReadCounts()
    counts.count("tier", "HIT")
    counts.count("timezone", "MISS")
    assert counts.internal == {("tier", "hit"): 1, ("timezone", "miss"): 1}
    assert (counts.hits, counts.misses, counts.bypasses) == ({}, {}, {})


async def test_an_invalidation_that_fails_is_one_error_however_many_scopes_it_has():
    cache = ObservedCache(Down())
    with pytest.raises(CacheUnavailable):
        await cache.invalidate(Era("run", "era"), Scope("user", 1), Scope("activity", 2))
    assert cache.errors == {("invalidation",): 1}


async def test_closings_are_counted_once_and_by_their_reason():
    states = ObservedCacheState(InMemoryCacheState(InMemoryStore(), switch_s=0.0))
    await states.name_server("first", epoch=0)  # the first one is open at once
    for number in range(2):
        await states.close(PendingInvalidation(number, ()))
    await states.name_server("second", epoch=(await states.read()).epoch)
    assert states.closings == {("unconfirmed",): 1, ("another_server",): 1}


def test_every_key_has_one_of_the_kinds_that_are_counted_from_the_start():
    keys: list[CacheKey[Any]] = [activity_key(1), listing_key(1, ActivityFilter(), Page()), tags_key(1), photos_key(1)]
    week = date(2026, 11, 16)
    which = StatisticsFilter(period=Period.WEEKLY, week_start=WeekStart.MONDAY, since=week, until=week)
    keys.append(statistics_key(1, which, week))
    assert {key.kind for key in keys} == set(KINDS)
    assert [standing_key(1).kind, timezone_key(1).kind, calendar_key(1).kind] == [*INTERNAL_KINDS]


def test_nothing_can_be_done_with_the_result_of_a_method_that_is_not_there():
    with pytest.raises(ValueError, match="InMemoryUserRepo has no coroutine method added"):
        timed(InMemoryUserRepo(InMemoryStore()), "users", lambda *_: None, then={"added": lambda _: None})


def test_the_readme_has_the_table_of_instruments():
    rows = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| (.*?) \|", README, re.MULTILINE)
    listed = [(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows]
    assert listed == [(row.name, row.kind, row.labels) for row in INSTRUMENTS]
