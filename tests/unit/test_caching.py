"""The cache policy: what is read through, owed, believed and shared, and what an outage does to each."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.outbox import InMemoryOutbox
from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.listings import ActivityFilter, Page, Position
from fitness.domain.model.refusals import ActivityNotFound
from fitness.domain.use_cases.caching import (
    FAILURES_BORNE,
    OVERDUE_S,
    CachedReads,
    Copy,
    Origin,
    activity_key,
    activity_scope,
    listing_key,
    user_scope,
)
from fitness.ports.cache import CacheKey, Hit, Miss, Owed, Scope, T
from fitness.ports.outages import CacheUnavailable
from tests.builders import an_activity

ONE = replace(an_activity(), id=1)
KEY = CacheKey("activity:{1}", "activity", activity_scope(1), 300, object)


class Fragile:
    """A cache that can be taken out of reach, as a whole or for one kind of call, and can begin a new life."""

    def __init__(self) -> None:
        self.inner = InMemoryCache()
        self.down: set[str] = set()
        self.calls: list[str] = []
        self.life = "first"

    def fail(self, *calls: str) -> None:
        self.down = set(calls or ("read", "fill", "invalidate", "claim", "give_up", "incarnation"))

    def _ask(self, call: str) -> None:
        self.calls.append(call)
        if call in self.down:
            raise CacheUnavailable

    async def read(self, key: CacheKey[T]) -> Hit[T] | Miss:
        self._ask("read")
        return await self.inner.read(key)

    async def fill(self, key: CacheKey[T], value: T, miss: Miss) -> None:
        self._ask("fill")
        await self.inner.fill(key, value, miss)

    async def invalidate(self, *scopes: Scope) -> None:
        self._ask("invalidate")
        await self.inner.invalidate(*scopes)

    async def claim(self, key: CacheKey[Any], miss: Miss) -> bool:
        self._ask("claim")
        return await self.inner.claim(key, miss)

    async def give_up(self, key: CacheKey[Any], miss: Miss) -> None:
        self._ask("give_up")
        await self.inner.give_up(key, miss)

    async def incarnation(self) -> str:
        self._ask("incarnation")
        return self.life


@dataclass
class Loader:
    """Counts how often it is asked, and may have something happen first."""

    value: object = ONE
    meanwhile: Callable[[], Awaitable[object]] | None = None
    asked: int = 0

    async def __call__(self) -> object:
        self.asked += 1
        value = self.value
        if self.meanwhile is not None:
            await self.meanwhile()
        if isinstance(value, Exception):
            raise value
        return value


@pytest.fixture
def now_s() -> list[float]:
    return [1000.0]


@pytest.fixture
def store(now_s: list[float]) -> InMemoryStore:
    return InMemoryStore(monotonic_s=lambda: now_s[0])


@pytest.fixture
def cache() -> Fragile:
    return Fragile()


async def a_process(cache: Fragile, store: InMemoryStore) -> CachedReads:
    async def pause(_: float) -> None:
        await asyncio.sleep(0)

    reads = CachedReads(cache, InMemoryOutbox(store), pause=pause, monotonic_s=store.monotonic_s)
    await reads.look_after_debts()
    return reads


@pytest.fixture
async def reads(cache: Fragile, store: InMemoryStore) -> CachedReads:
    return await a_process(cache, store)


def owed(store: InMemoryStore) -> Owed:
    """A debt as a commit leaves it."""
    debt = Owed.to(activity_scope(1), user_scope(7))
    store.owe(debt)
    return debt


async def round_of(reads: CachedReads) -> None:
    try:
        await reads.look_after_debts()
    except CacheUnavailable:
        assert not reads.believed


class TestReadingThrough:
    async def test_the_first_read_loads_and_the_second_does_not(self, reads: CachedReads):
        load = Loader()
        assert await reads.through(KEY, load) == Copy(ONE, Origin.MISS)
        assert await reads.through(KEY, load) == Copy(ONE, Origin.HIT)
        assert load.asked == 1

    async def test_a_settled_debt_makes_the_copy_stale(self, reads: CachedReads, store: InMemoryStore):
        load = Loader()
        await reads.through(KEY, load)
        await reads.settle(owed(store))
        assert (await reads.through(KEY, load)).origin is Origin.MISS
        assert load.asked == 2

    async def test_what_was_loaded_before_a_write_is_not_kept_after_it(self, reads: CachedReads, store: InMemoryStore):
        slow = Loader("old", meanwhile=lambda: reads.settle(owed(store)))
        assert (await reads.through(KEY, slow)).value == "old"
        assert await reads.through(KEY, Loader("new")) == Copy("new", Origin.MISS)

    async def test_a_refusal_of_the_load_goes_on_and_is_not_kept(self, reads: CachedReads):
        refusing = Loader(ActivityNotFound(1))
        for _ in range(2):
            with pytest.raises(ActivityNotFound):
                await reads.through(KEY, refusing)
        assert refusing.asked == 2

    async def test_a_copy_that_cannot_be_kept_is_answered_all_the_same(self, reads: CachedReads, cache: Fragile):
        cache.fail("fill")
        assert await reads.through(KEY, Loader()) == Copy(ONE, Origin.MISS)

    async def test_a_claim_that_fails_is_gone_round(self, reads: CachedReads, cache: Fragile):
        cache.fail("claim")
        assert await reads.through(KEY, Loader()) == Copy(ONE, Origin.MISS)


class TestOutages:
    async def test_a_cache_that_is_down_is_gone_round(self, reads: CachedReads, cache: Fragile, store: InMemoryStore):
        cache.fail()
        assert await reads.through(KEY, Loader()) == Copy(ONE, Origin.BYPASS)
        await reads.settle(owed(store))

    async def test_a_read_that_fails_now_and_then_does_not_lose_it(self, reads: CachedReads, cache: Fragile):
        for _ in range(3 * FAILURES_BORNE):
            cache.fail("read")
            await reads.through(KEY, Loader())
            cache.down.clear()
            await reads.through(KEY, Loader())
        assert reads.believed

    async def test_after_so_many_failures_in_a_row_it_is_not_asked_for_copies_and_still_told(
        self, reads: CachedReads, cache: Fragile, store: InMemoryStore
    ):
        cache.fail()
        for _ in range(FAILURES_BORNE):
            await reads.through(KEY, Loader())
        cache.calls.clear()
        for _ in range(10):
            assert (await reads.through(KEY, Loader())).origin is Origin.BYPASS
            await reads.settle(owed(store))
        assert cache.calls == ["invalidate"] * 10  # somebody else may be reading from it
        assert len(store.debts) == 10

    async def test_one_invalidation_that_fails_loses_it_at_once(
        self, reads: CachedReads, cache: Fragile, store: InMemoryStore
    ):
        await reads.through(KEY, Loader("old"))
        cache.fail("invalidate")
        await reads.settle(owed(store))
        assert await reads.through(KEY, Loader("new")) == Copy("new", Origin.BYPASS)

    async def test_a_lost_cache_is_believed_only_after_every_debt_is_paid(
        self, reads: CachedReads, cache: Fragile, store: InMemoryStore
    ):
        await reads.through(KEY, Loader("old"))
        cache.fail()
        await reads.settle(owed(store))
        await round_of(reads)
        assert (await reads.through(KEY, Loader("new"))).origin is Origin.BYPASS
        cache.fail("invalidate")  # it answers again, and still cannot be told
        await round_of(reads)
        assert (await reads.through(KEY, Loader("new"))).origin is Origin.BYPASS
        cache.down.clear()
        await round_of(reads)
        assert store.debts == {}
        assert await reads.through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        assert await reads.through(KEY, Loader()) == Copy("new", Origin.HIT)

    async def test_what_is_lost_during_recovery_has_to_be_found_again(
        self, reads: CachedReads, cache: Fragile, store: InMemoryStore
    ):
        class Interrupted(InMemoryOutbox):
            async def unsettled(self, *, older_than_s: float = 0.0) -> Any:
                debts = await super().unsettled(older_than_s=older_than_s)
                if not debts and "invalidate" not in cache.down:
                    cache.fail("invalidate")  # a write of this very process, after the last look at the debts
                    await process.settle(owed(store))
                return debts

        process = CachedReads(cache, Interrupted(store), monotonic_s=store.monotonic_s)
        await process.look_after_debts()
        assert not process.believed
        assert len(store.debts) == 1

    async def test_others_who_go_on_writing_do_not_keep_it_from_being_believed(
        self, cache: Fragile, store: InMemoryStore
    ):
        class Busy(InMemoryOutbox):
            async def unsettled(self, *, older_than_s: float = 0.0) -> Any:
                owed(store)
                return await super().unsettled(older_than_s=older_than_s)

        reads = CachedReads(cache, Busy(store))
        await reads.look_after_debts()
        assert reads.believed

    async def test_a_new_life_of_the_cache_is_told_again_what_it_was_told_last(
        self, reads: CachedReads, cache: Fragile, store: InMemoryStore
    ):
        await reads.through(KEY, Loader("old"))
        generation = cache.inner._generations.copy()
        copies = cache.inner._copies.copy()
        await reads.settle(owed(store))
        await round_of(reads)
        cache.inner._generations, cache.inner._copies, cache.life = generation, copies, "restored from a snapshot"
        await round_of(reads)
        assert await reads.through(KEY, Loader("new")) == Copy("new", Origin.MISS)

    async def test_a_process_begins_by_paying_what_others_left_behind(self, cache: Fragile, store: InMemoryStore):
        died = await a_process(cache, store)
        await died.through(KEY, Loader("old"))
        owed(store)  # and there it was killed
        successor = await a_process(cache, store)
        assert await successor.through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        assert store.debts == {}


class TestDebts:
    async def test_what_was_paid_is_struck_out_in_the_next_round(self, reads: CachedReads, store: InMemoryStore):
        await reads.settle(owed(store))
        assert len(store.debts) == 1
        await round_of(reads)
        assert store.debts == {}

    async def test_somebody_elses_debt_is_paid_once_it_is_overdue(
        self, reads: CachedReads, cache: Fragile, store: InMemoryStore, now_s: list[float]
    ):
        await reads.through(KEY, Loader("old"))
        owed(store)
        await round_of(reads)
        assert (await reads.through(KEY, Loader("new"))).origin is Origin.HIT
        now_s[0] += OVERDUE_S
        await round_of(reads)
        assert await reads.through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        assert store.debts == {}

    async def test_a_caller_who_goes_away_leaves_no_stale_copy(
        self, reads: CachedReads, cache: Fragile, store: InMemoryStore
    ):
        await reads.through(KEY, Loader("old"))
        caller = asyncio.ensure_future(reads.settle(owed(store)))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await asyncio.sleep(0)
        assert await reads.through(KEY, Loader("new")) == Copy("new", Origin.MISS)

    async def test_more_debts_than_fit_into_one_look_are_all_paid(self, reads: CachedReads, store: InMemoryStore):
        for number in range(2_500):
            store.owe(Owed.to(user_scope(number)))
        reads._lose()
        await round_of(reads)
        assert store.debts == {}
        assert reads.believed


class TestStampede:
    async def test_many_who_miss_the_same_copy_share_one_load(self, reads: CachedReads):
        load = Loader(meanwhile=lambda: asyncio.sleep(0.01))
        answers = await asyncio.gather(*(reads.through(KEY, load) for _ in range(200)))
        assert load.asked == 1
        assert {answer.value for answer in answers} == {ONE}

    async def test_a_refusal_reaches_all_who_wait(self, reads: CachedReads):
        load = Loader(ActivityNotFound(1), meanwhile=lambda: asyncio.sleep(0.01))
        answers = await asyncio.gather(*(reads.through(KEY, load) for _ in range(20)), return_exceptions=True)
        assert load.asked == 1
        assert {type(answer) for answer in answers} == {ActivityNotFound}

    async def test_one_who_goes_away_takes_nobody_along(self, reads: CachedReads):
        load = Loader(meanwhile=lambda: asyncio.sleep(0.01))
        first, second = (asyncio.ensure_future(reads.through(KEY, load)) for _ in range(2))
        await asyncio.sleep(0.001)
        first.cancel()
        assert (await second).value == ONE
        assert load.asked == 1

    async def test_nobody_joins_a_load_from_before_an_acknowledged_write(
        self, reads: CachedReads, store: InMemoryStore
    ):
        loading, written = asyncio.Event(), asyncio.Event()

        async def slow() -> object:
            loading.set()
            await written.wait()
            return "old"

        early = asyncio.ensure_future(reads.through(KEY, slow))
        await loading.wait()
        await reads.settle(owed(store))
        late = await reads.through(KEY, Loader("new"))
        written.set()
        assert (late.value, (await early).value) == ("new", "old")
        assert (await reads.through(KEY, Loader("new"))).value == "new"

    async def test_across_processes_the_others_wait_for_the_first(self, cache: Fragile, store: InMemoryStore):
        processes = [await a_process(cache, store) for _ in range(4)]
        load = Loader(meanwhile=lambda: asyncio.sleep(0))
        answers = await asyncio.gather(*(process.through(KEY, load) for process in processes for _ in range(50)))
        assert load.asked == 1
        assert {answer.value for answer in answers} == {ONE}

    async def test_one_who_claimed_and_died_holds_up_nobody_for_long(self, cache: Fragile, store: InMemoryStore):
        reads = await a_process(cache, store)
        miss = await cache.read(KEY)
        assert isinstance(miss, Miss)
        assert await cache.claim(KEY, miss)
        assert await reads.through(KEY, Loader()) == Copy(ONE, Origin.MISS)

    @pytest.mark.parametrize("unreachable", [(), ("give_up",)])
    async def test_where_there_is_nothing_to_load_the_next_one_finds_that_out_at_once(
        self, cache: Fragile, store: InMemoryStore, unreachable: tuple[str, ...]
    ):
        reads = await a_process(cache, store)
        cache.down = set(unreachable)
        missing = Loader(ActivityNotFound(1))
        for _ in range(2):
            with pytest.raises(ActivityNotFound):
                await reads.through(KEY, missing)
        assert missing.asked == 2
        waited = cache.calls.count("read") > 2
        assert waited == bool(unreachable)


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
