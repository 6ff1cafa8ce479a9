"""The cache policy: reads, invalidations, the relay, and what an outage does to each."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
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
from fitness.domain.use_cases.caching.invalidation import OVERDUE_S, Changes, OutboxRelay
from fitness.domain.use_cases.caching.keys import activity_key, activity_scope, listing_key, user_scope
from fitness.domain.use_cases.caching.lease import FAILURES_ALLOWED, Lease
from fitness.domain.use_cases.caching.reads import CachedReads, Copy, Origin
from fitness.ports.cache import CacheKey, Hit, Miss, Scope, T
from fitness.ports.messages import Messages
from fitness.ports.outages import CacheUnavailable
from tests.builders import an_activity, messages

ONE = replace(an_activity(), id=1)
KEY = CacheKey("activity:{1}", activity_scope(1), 300, object, "activity")


class Fragile:
    """A cache that can be made unavailable, as a whole or for one kind of call, and can restart."""

    def __init__(self) -> None:
        self.inner = InMemoryCache()
        self.down: set[str] = set()
        self.calls: list[str] = []
        self.server = "first"

    def fail(self, *calls: str) -> None:
        self.down = set(calls or ("read", "fill", "invalidate", "claim", "give_up", "run_id"))

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

    async def run_id(self) -> str:
        self._ask("run_id")
        return self.server


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


class Process:
    """One process of the service: its reads, its changes and its relay, over the cache and the store of all."""

    def __init__(self, cache: Fragile, store: InMemoryStore, outbox: InMemoryOutbox | None = None) -> None:
        self.store, self.lease = store, Lease()
        self._reads = CachedReads(cache, self.lease, pause=lambda _: asyncio.sleep(0))
        self._changes = Changes(cache, self.lease, monotonic_s=store.monotonic_s)
        self._relay = OutboxRelay(cache, outbox or InMemoryOutbox(store), self.lease, self._changes)

    @property
    def usable(self) -> bool:
        return self._reads.usable

    async def read_through(self, key: CacheKey[T], load: Callable[[], Coroutine[Any, Any, T]]) -> Copy[T]:
        return await self._reads.read_through(key, load)

    async def change(self) -> None:
        await self._changes.make([activity_scope(1), user_scope(7)], self._commit)

    async def relay(self) -> None:
        try:
            await self._relay.relay()
        except CacheUnavailable:
            assert not self.usable

    async def _commit(self, *, messages: Messages) -> bool:
        self.store.write(messages)
        return True


async def a_process(cache: Fragile, store: InMemoryStore) -> Process:
    process = Process(cache, store)
    await process.relay()
    return process


@pytest.fixture
async def reads(cache: Fragile, store: InMemoryStore) -> Process:
    return await a_process(cache, store)


def committed(store: InMemoryStore) -> None:
    """A change whose writer did not get as far as the invalidation."""
    store.write(messages(activity_scope(1), user_scope(7)))


class TestReadingThrough:
    async def test_the_first_read_loads_and_the_second_does_not(self, reads: Process):
        load = Loader()
        assert await reads.read_through(KEY, load) == Copy(ONE, Origin.MISS)
        assert await reads.read_through(KEY, load) == Copy(ONE, Origin.HIT)
        assert load.asked == 1

    async def test_a_change_makes_the_copy_stale(self, reads: Process, store: InMemoryStore):
        load = Loader()
        await reads.read_through(KEY, load)
        await reads.change()
        assert (await reads.read_through(KEY, load)).origin is Origin.MISS
        assert load.asked == 2

    async def test_what_was_loaded_before_a_write_is_not_kept_after_it(self, reads: Process, store: InMemoryStore):
        slow = Loader("old", meanwhile=lambda: reads.change())
        assert (await reads.read_through(KEY, slow)).value == "old"
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)

    async def test_a_refusal_of_the_load_goes_on_and_is_not_kept(self, reads: Process):
        refusing = Loader(ActivityNotFound(1))
        for _ in range(2):
            with pytest.raises(ActivityNotFound):
                await reads.read_through(KEY, refusing)
        assert refusing.asked == 2

    async def test_a_copy_that_cannot_be_kept_is_answered_all_the_same(self, reads: Process, cache: Fragile):
        cache.fail("fill")
        assert await reads.read_through(KEY, Loader()) == Copy(ONE, Origin.MISS)

    async def test_a_claim_that_fails_is_bypassed(self, reads: Process, cache: Fragile):
        cache.fail("claim")
        assert await reads.read_through(KEY, Loader()) == Copy(ONE, Origin.MISS)


class TestOutages:
    async def test_a_cache_that_is_down_is_bypassed(self, reads: Process, cache: Fragile, store: InMemoryStore):
        cache.fail()
        assert await reads.read_through(KEY, Loader()) == Copy(ONE, Origin.BYPASS)
        await reads.change()

    async def test_a_read_that_fails_now_and_then_does_not_disable_it(self, reads: Process, cache: Fragile):
        for _ in range(3 * FAILURES_ALLOWED):
            cache.fail("read")
            await reads.read_through(KEY, Loader())
            cache.down.clear()
            await reads.read_through(KEY, Loader())
        assert reads.usable

    async def test_after_so_many_failures_in_a_row_it_is_not_read_and_still_invalidated(
        self, reads: Process, cache: Fragile, store: InMemoryStore
    ):
        cache.fail()
        for _ in range(FAILURES_ALLOWED):
            await reads.read_through(KEY, Loader())
        cache.calls.clear()
        for _ in range(10):
            assert (await reads.read_through(KEY, Loader())).origin is Origin.BYPASS
            await reads.change()
        assert cache.calls == ["invalidate"] * 10  # somebody else may be reading from it
        assert len(store.outbox) == 10

    async def test_one_invalidation_that_fails_disables_it_at_once(
        self, reads: Process, cache: Fragile, store: InMemoryStore
    ):
        await reads.read_through(KEY, Loader("old"))
        cache.fail("invalidate")
        await reads.change()
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.BYPASS)

    async def test_it_is_usable_again_only_after_every_pending_invalidation(
        self, reads: Process, cache: Fragile, store: InMemoryStore
    ):
        await reads.read_through(KEY, Loader("old"))
        cache.fail()
        await reads.change()
        await reads.relay()
        assert (await reads.read_through(KEY, Loader("new"))).origin is Origin.BYPASS
        cache.fail("invalidate")  # it answers reads again, and no invalidation
        await reads.relay()
        assert (await reads.read_through(KEY, Loader("new"))).origin is Origin.BYPASS
        cache.down.clear()
        await reads.relay()
        assert store.outbox == {}
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        assert await reads.read_through(KEY, Loader()) == Copy("new", Origin.HIT)

    async def test_a_failure_during_the_recovery_disables_it_again(
        self, reads: Process, cache: Fragile, store: InMemoryStore
    ):
        class Interrupted(InMemoryOutbox):
            async def pending(self, *, older_than_s: float = 0.0) -> Any:
                entries = await super().pending(older_than_s=older_than_s)
                if not entries and "invalidate" not in cache.down:
                    cache.fail("invalidate")  # a write of this very process, after the last look at the outbox
                    await process.change()
                return entries

        process = Process(cache, store, Interrupted(store))
        await process.relay()
        assert not process.usable
        assert len(store.outbox) == 1

    async def test_others_who_go_on_writing_do_not_keep_it_disabled(self, cache: Fragile, store: InMemoryStore):
        class Busy(InMemoryOutbox):
            async def pending(self, *, older_than_s: float = 0.0) -> Any:
                committed(store)
                return await super().pending(older_than_s=older_than_s)

        reads = Process(cache, store, Busy(store))
        await reads.relay()
        assert reads.usable

    async def test_after_a_restart_the_latest_invalidations_are_sent_again(
        self, reads: Process, cache: Fragile, store: InMemoryStore
    ):
        await reads.read_through(KEY, Loader("old"))
        generation = cache.inner._generations.copy()
        copies = cache.inner._copies.copy()
        await reads.change()
        await reads.relay()
        cache.inner._generations, cache.inner._copies, cache.server = generation, copies, "restored from a snapshot"
        await reads.relay()
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)

    async def test_a_process_begins_by_relaying_what_others_left_behind(self, cache: Fragile, store: InMemoryStore):
        died = await a_process(cache, store)
        await died.read_through(KEY, Loader("old"))
        committed(store)  # and there it was killed
        successor = await a_process(cache, store)
        assert await successor.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        assert store.outbox == {}


class TestRelay:
    async def test_what_was_carried_out_is_acknowledged_in_the_next_round(self, reads: Process, store: InMemoryStore):
        await reads.change()
        assert len(store.outbox) == 1
        await reads.relay()
        assert store.outbox == {}

    async def test_somebody_elses_invalidation_is_carried_out_once_it_is_overdue(
        self, reads: Process, cache: Fragile, store: InMemoryStore, now_s: list[float]
    ):
        await reads.read_through(KEY, Loader("old"))
        committed(store)
        await reads.relay()
        assert (await reads.read_through(KEY, Loader("new"))).origin is Origin.HIT
        now_s[0] += OVERDUE_S
        await reads.relay()
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        assert store.outbox == {}

    async def test_a_caller_who_goes_away_leaves_no_stale_copy(
        self, reads: Process, cache: Fragile, store: InMemoryStore
    ):
        await reads.read_through(KEY, Loader("old"))
        caller = asyncio.ensure_future(reads.change())
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await asyncio.sleep(0)
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)

    async def test_more_entries_than_fit_into_one_look_are_all_carried_out(self, reads: Process, store: InMemoryStore):
        for number in range(2_500):
            store.write(messages(user_scope(number)))
        reads.lease.disable()
        await reads.relay()
        assert store.outbox == {}
        assert reads.usable


class TestStampede:
    async def test_many_who_miss_the_same_copy_share_one_load(self, reads: Process):
        load = Loader(meanwhile=lambda: asyncio.sleep(0.01))
        answers = await asyncio.gather(*(reads.read_through(KEY, load) for _ in range(200)))
        assert load.asked == 1
        assert {answer.value for answer in answers} == {ONE}

    async def test_a_refusal_reaches_all_who_wait(self, reads: Process):
        load = Loader(ActivityNotFound(1), meanwhile=lambda: asyncio.sleep(0.01))
        answers = await asyncio.gather(*(reads.read_through(KEY, load) for _ in range(20)), return_exceptions=True)
        assert load.asked == 1
        assert {type(answer) for answer in answers} == {ActivityNotFound}

    async def test_one_who_goes_away_takes_nobody_along(self, reads: Process):
        load = Loader(meanwhile=lambda: asyncio.sleep(0.01))
        first, second = (asyncio.ensure_future(reads.read_through(KEY, load)) for _ in range(2))
        await asyncio.sleep(0.001)
        first.cancel()
        assert (await second).value == ONE
        assert load.asked == 1

    async def test_nobody_joins_a_load_from_before_an_acknowledged_write(self, reads: Process, store: InMemoryStore):
        loading, written = asyncio.Event(), asyncio.Event()

        async def slow() -> object:
            loading.set()
            await written.wait()
            return "old"

        early = asyncio.ensure_future(reads.read_through(KEY, slow))
        await loading.wait()
        await reads.change()
        late = await reads.read_through(KEY, Loader("new"))
        written.set()
        assert (late.value, (await early).value) == ("new", "old")
        assert (await reads.read_through(KEY, Loader("new"))).value == "new"

    async def test_across_processes_the_others_wait_for_the_first(self, cache: Fragile, store: InMemoryStore):
        processes = [await a_process(cache, store) for _ in range(4)]
        load = Loader(meanwhile=lambda: asyncio.sleep(0))
        answers = await asyncio.gather(*(process.read_through(KEY, load) for process in processes for _ in range(50)))
        assert load.asked == 1
        assert {answer.value for answer in answers} == {ONE}

    async def test_one_who_claimed_and_died_holds_up_nobody_for_long(self, cache: Fragile, store: InMemoryStore):
        reads = await a_process(cache, store)
        miss = await cache.read(KEY)
        assert isinstance(miss, Miss)
        assert await cache.claim(KEY, miss)
        assert await reads.read_through(KEY, Loader()) == Copy(ONE, Origin.MISS)

    @pytest.mark.parametrize("unreachable", [(), ("give_up",)])
    async def test_where_there_is_nothing_to_load_the_next_one_finds_that_out_at_once(
        self, cache: Fragile, store: InMemoryStore, unreachable: tuple[str, ...]
    ):
        reads = await a_process(cache, store)
        cache.down = set(unreachable)
        missing = Loader(ActivityNotFound(1))
        for _ in range(2):
            with pytest.raises(ActivityNotFound):
                await reads.read_through(KEY, missing)
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
