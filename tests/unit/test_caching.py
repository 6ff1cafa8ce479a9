"""The cache policy: reads, invalidations, the relay, and what an outage does to each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.cache_state import SWITCH_S, InMemoryCacheState
from fitness.adapters.memory.outbox import InMemoryOutbox
from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.listings import ActivityFilter, Page, Position, Range, Sort
from fitness.domain.model.refusals import ActivityNotFound
from fitness.domain.use_cases.caching.invalidation import HELD_S, OVERDUE_S
from fitness.domain.use_cases.caching.keys import activity_key, activity_scope, listing_key, user_scope
from fitness.domain.use_cases.caching.lease import EXPIRY_S, LEASE_S, PROMPT_S
from fitness.domain.use_cases.caching.reads import Copy, Origin
from fitness.ports.cache import CacheKey, Era, Miss, Scope, T
from fitness.ports.cache_state import CacheState, CacheStatePort, Transition
from fitness.ports.messages import Messages
from fitness.ports.outages import CacheUnavailable, DatabaseUnavailable
from fitness.ports.outbox import PendingInvalidation
from tests.builders import an_activity, messages
from tests.unit.doubles import WatchedCache
from tests.unit.processes import CachingProcess

ONE = replace(an_activity(), id=1)
KEY = CacheKey("activity:{1}", activity_scope(1), 300, object, "activity")


class Fragile(WatchedCache):
    """A cache that can be made unavailable, as a whole or for one kind of call, and can restart."""

    def __init__(self) -> None:
        super().__init__(self._ask)
        self.down: set[str] = set()
        self.calls: list[str] = []

    def fail(self, *calls: str) -> None:
        self.down = set(calls or ("read", "peek", "begin", "fill", "invalidate", "claim", "give_up", "run_id"))

    def restart(self) -> None:
        """Empty, and under another run id."""
        self.inner = InMemoryCache()

    async def _ask(self, call: str) -> None:
        self.calls.append(call)
        if call in self.down:
            raise CacheUnavailable


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


class Clock:
    """Moves when it is moved, and when somebody waits."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    async def pause(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> InMemoryStore:
    return InMemoryStore(monotonic_s=lambda: clock.now_s)


@pytest.fixture
def cache() -> Fragile:
    return Fragile()


class Process:
    """One process of the service, over the cache and the store of all."""

    def __init__(
        self, cache: Fragile, store: InMemoryStore, clock: Clock, outbox: InMemoryOutbox | None = None
    ) -> None:
        self.store, self.clock, self.states = store, clock, InMemoryCacheState(store)
        process = CachingProcess(
            cache,
            store,
            outbox=outbox,
            states=self.states,
            monotonic_s=lambda: clock.now_s,
            pause=clock.pause,
        )
        self.lease, self._reads, self._changes, self._relay = (
            process.lease,
            process.reads,
            process.changes,
            process.relay,
        )

    @property
    def usable(self) -> bool:
        return self.lease.usable

    async def read_through(self, key: CacheKey[T], load: Callable[[], Coroutine[Any, Any, T]]) -> Copy[T]:
        return await self._reads.read_through(key, load)

    async def change(self) -> None:
        await self._changes.make([activity_scope(1), user_scope(7)], self._commit)

    @asynccontextmanager
    async def steps(self) -> AsyncIterator[Callable[[Scope], Awaitable[object]]]:
        async with self._changes.in_steps() as steps:
            yield lambda scope: steps.make([scope, user_scope(7)], self._commit)

    async def relay(self) -> None:
        with suppress(CacheUnavailable):
            await self._relay.relay()

    async def _commit(self, *, messages: Messages) -> bool:
        self.store.write(messages)
        return True


async def a_process(cache: Fragile, store: InMemoryStore, clock: Clock) -> Process:
    process = Process(cache, store, clock)
    await process.relay()
    return process


@pytest.fixture
async def reads(cache: Fragile, store: InMemoryStore, clock: Clock) -> Process:
    return await a_process(cache, store, clock)


class Unreachable(InMemoryCacheState):
    """The database does not answer; a query fails after some time."""

    def __init__(self, clock: Clock, *, takes_s: float) -> None:
        super().__init__(InMemoryStore())
        self._clock, self._takes_s = clock, takes_s

    async def read(self) -> CacheState:
        self._clock.now_s += self._takes_s
        raise DatabaseUnavailable

    async def close(self, unconfirmed: PendingInvalidation) -> Transition:
        raise DatabaseUnavailable


class Counting:
    def __init__(self, states: CacheStatePort) -> None:
        self.inner, self.asked = states, 0

    async def read(self) -> CacheState:
        self.asked += 1
        return await self.inner.read()

    async def close(self, unconfirmed: PendingInvalidation) -> Transition:
        return await self.inner.close(unconfirmed)

    async def open(self, *, epoch: int) -> Transition:
        return await self.inner.open(epoch=epoch)

    async def name_server(self, run_id: str, *, epoch: int) -> Transition:
        return await self.inner.name_server(run_id, epoch=epoch)


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


class TestTheLease:
    async def test_a_process_without_one_takes_one_before_it_reads(self, cache: Fragile, store: InMemoryStore):
        clock = Clock()
        await a_process(cache, store, clock)
        second = Process(cache, store, clock)
        assert not second.usable
        assert (await second.read_through(KEY, Loader())).origin is Origin.MISS

    async def test_a_process_that_was_late_renews_it_before_it_reads(self, reads: Process, clock: Clock):
        await reads.read_through(KEY, Loader())
        await reads.states.close(PendingInvalidation(1, ()))
        assert (await reads.read_through(KEY, Loader())).origin is Origin.HIT  # no process has answered a write yet
        clock.now_s += LEASE_S
        assert (await reads.read_through(KEY, Loader())).origin is Origin.BYPASS

    async def test_who_cannot_reach_the_database_keeps_the_last_one(self, reads: Process, clock: Clock):
        await reads.read_through(KEY, Loader())
        reads.lease._states = Unreachable(clock, takes_s=0.4)
        for _ in range(10):
            clock.now_s += LEASE_S
            assert (await reads.read_through(KEY, Loader("new"))).value == ONE

    async def test_a_failure_that_took_too_long_says_nothing_and_prolongs_nothing(self, reads: Process, clock: Clock):
        await reads.read_through(KEY, Loader())
        reads.lease._states = Unreachable(clock, takes_s=PROMPT_S)
        clock.now_s += LEASE_S
        assert (await reads.read_through(KEY, Loader("new"))).origin is Origin.BYPASS

    async def test_many_who_need_one_share_one_query(self, reads: Process, clock: Clock):
        counting = Counting(reads.states)
        reads.lease._states = counting
        clock.now_s += LEASE_S
        await asyncio.gather(*(reads.read_through(KEY, Loader()) for _ in range(50)))
        assert counting.asked == 1

    async def test_a_database_that_was_restored_from_a_backup_counts_again(self, reads: Process, store: InMemoryStore):
        for number in range(5):
            await reads.states.close(PendingInvalidation(number, ()))
        await reads.relay()
        store.cache_state = replace(store.cache_state, epoch=0, closed=False)
        await reads.relay()
        assert reads.usable


class TestOutages:
    async def test_a_cache_that_is_down_is_bypassed(self, reads: Process, cache: Fragile, store: InMemoryStore):
        cache.fail()
        assert await reads.read_through(KEY, Loader()) == Copy(ONE, Origin.BYPASS)
        await reads.change()

    async def test_a_read_that_fails_closes_nothing(self, reads: Process, cache: Fragile):
        cache.fail("read")
        assert (await reads.read_through(KEY, Loader())).origin is Origin.BYPASS
        cache.down.clear()
        assert (await reads.read_through(KEY, Loader())).origin is Origin.MISS

    async def test_while_the_cache_is_closed_it_is_not_read_and_still_invalidated(
        self, reads: Process, cache: Fragile, store: InMemoryStore
    ):
        cache.fail()
        await reads.change()
        cache.calls.clear()
        for _ in range(10):
            assert (await reads.read_through(KEY, Loader())).origin is Origin.BYPASS
            await reads.change()
        assert cache.calls == ["invalidate"] * 10
        assert len(store.outbox) == 11

    async def test_one_invalidation_that_is_not_confirmed_closes_the_cache_for_everybody(
        self, reads: Process, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        another = await a_process(cache, store, clock)
        await reads.read_through(KEY, Loader("old"))
        cache.fail("invalidate")
        await reads.change()
        for process in (reads, another):
            assert await process.read_through(KEY, Loader("new")) == Copy("new", Origin.BYPASS)

    async def test_the_writer_answers_once_no_lease_can_be_older(self, reads: Process, cache: Fragile, clock: Clock):
        cache.fail("invalidate")
        began_s = clock.now_s
        await reads.change()
        assert EXPIRY_S <= clock.now_s - began_s <= EXPIRY_S + 0.15
        began_s = clock.now_s
        await reads.change()
        assert clock.now_s == began_s  # it was closed for that long already

    async def test_a_connection_that_breaks_and_is_replaced_at_once_closes_nothing(
        self, reads: Process, cache: Fragile, store: InMemoryStore
    ):
        async def once(call: str) -> None:
            if call == "invalidate":
                cache.before = cache._ask
                raise CacheUnavailable

        cache.before = once
        await reads.change()
        assert reads.usable

    async def test_it_is_opened_only_after_every_pending_invalidation(
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

    async def test_a_failure_during_the_recovery_keeps_it_closed(
        self, reads: Process, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        class Interrupted(InMemoryOutbox):
            async def acknowledge(self, ids: Any, *, era: Era) -> None:
                await super().acknowledge(ids, era=era)
                if "invalidate" not in cache.down:
                    cache.fail("invalidate")  # a write of this very process, after the last look at the outbox
                    await process.change()

        process = Process(cache, store, clock, Interrupted(store))
        await process.relay()
        await process.states.close(PendingInvalidation(1, (user_scope(7),)))
        clock.now_s += LEASE_S
        await process.relay()
        assert not process.usable
        assert len(store.outbox) == 1

    async def test_others_who_go_on_writing_do_not_keep_it_closed(
        self, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        class Busy(InMemoryOutbox):
            async def pending(self, *, older_than_s: float = 0.0) -> Any:
                committed(store)
                return await super().pending(older_than_s=older_than_s)

        reads = Process(cache, store, clock, Busy(store))
        await reads.relay()
        await reads.states.close(PendingInvalidation(1, (user_scope(7),)))
        await reads.relay()
        assert reads.usable

    async def test_a_process_begins_by_relaying_what_others_left_behind(
        self, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        died = await a_process(cache, store, clock)
        await died.read_through(KEY, Loader("old"))
        committed(store)  # and there it was killed
        clock.now_s += OVERDUE_S
        successor = await a_process(cache, store, clock)
        assert await successor.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        assert store.outbox == {}

    async def test_a_writer_who_cannot_renew_its_lease_closes_the_cache(
        self, cache: Fragile, store: InMemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ):
        async def no_connection() -> CacheState:
            raise DatabaseUnavailable

        await a_process(cache, store, clock)
        writer = Process(cache, store, clock)
        monkeypatch.setattr(writer.states, "read", no_connection)
        await writer.change()
        assert store.cache_state.closed

    async def test_a_write_whose_fate_in_the_cache_nobody_knows_is_not_acknowledged(
        self, reads: Process, cache: Fragile, clock: Clock
    ):
        cache.fail("invalidate")
        reads._changes._states = Unreachable(clock, takes_s=0.1)
        with pytest.raises(DatabaseUnavailable):
            await reads.change()


class TestAnotherServer:
    async def test_nothing_of_the_one_before_is_read_and_it_is_opened_after_a_lease(
        self, reads: Process, cache: Fragile, clock: Clock
    ):
        await reads.read_through(KEY, Loader("old"))
        clock.now_s += SWITCH_S
        before = cache.inner
        cache.restart()
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.BYPASS)
        await reads.relay()
        assert not reads.usable
        clock.now_s += EXPIRY_S
        await reads.relay()
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        clock.now_s += SWITCH_S
        cache.inner = before  # it comes back with what it held
        for _ in range(2):
            await reads.relay()
            clock.now_s += EXPIRY_S
        await reads.relay()
        assert await reads.read_through(KEY, Loader("newer")) == Copy("newer", Origin.MISS)

    async def test_an_invalidation_that_another_server_confirms_is_not_confirmed(
        self, reads: Process, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        elsewhere = Fragile()
        moved = Process(elsewhere, store, clock)
        moved.lease._states = reads.states
        await moved.lease.renew()
        await reads.read_through(KEY, Loader("old"))
        await moved.change()
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.BYPASS)

    async def test_before_it_is_named_the_connection_is_made_anew(self, reads: Process, cache: Fragile, clock: Clock):
        primary = cache.inner
        clock.now_s += SWITCH_S
        cache.restart()

        async def found_again(call: str) -> None:
            if call == "reconnect":  # as Sentinels know the primary
                cache.inner = primary

        cache.before = found_again
        await reads.relay()
        assert reads.usable


class TestRelay:
    async def test_what_was_carried_out_is_acknowledged_in_the_next_round(self, reads: Process, store: InMemoryStore):
        await reads.change()
        assert len(store.outbox) == 1
        await reads.relay()
        assert store.outbox == {}

    async def test_somebody_elses_invalidation_is_carried_out_once_it_is_overdue(
        self, reads: Process, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        await reads.read_through(KEY, Loader("old"))
        committed(store)
        await reads.relay()
        assert (await reads.read_through(KEY, Loader("new"))).origin is Origin.HIT
        clock.now_s += OVERDUE_S
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
        await reads.states.close(PendingInvalidation(1, ()))
        await reads.relay()
        assert store.outbox == {}
        assert reads.usable


class TestSteps:
    """A change of several transactions."""

    async def test_all_steps_have_one_invalidation_after_the_last(
        self, reads: Process, cache: Fragile, store: InMemoryStore
    ):
        await reads.read_through(KEY, Loader("old"))
        async with reads.steps() as step:
            await step(activity_scope(1))
            await step(activity_scope(2))
            assert (await reads.read_through(KEY, Loader("new"))).origin is Origin.HIT
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        assert cache.calls.count("invalidate") == 1
        await reads.relay()
        assert store.outbox == {}

    async def test_relays_leave_them_to_the_last_step_for_some_time(
        self, reads: Process, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        other = await a_process(cache, store, clock)
        async with reads.steps() as step:
            await step(activity_scope(1))
            clock.now_s += HELD_S
            await reads.relay()
            await other.relay()
            assert len(store.outbox) == 1
            clock.now_s += OVERDUE_S
            await other.relay()  # it cannot tell whether the writer is still there
            assert store.outbox == {}

    async def test_entries_of_an_attempt_that_died_are_carried_out_with_those_of_the_next(
        self, reads: Process, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        await reads.read_through(KEY, Loader("old"))
        store.write(messages(activity_scope(1), user_scope(7)))  # and there it was killed
        async with reads._changes.in_steps() as steps:
            await steps.make([activity_scope(2), user_scope(7)], reads._commit)
            steps.take_over(await InMemoryOutbox(store).pending_of(user_scope(7)))
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        await reads.relay()
        assert store.outbox == {}

    async def test_what_was_committed_before_a_step_failed_is_invalidated(
        self, reads: Process, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        await reads.read_through(KEY, Loader("old"))

        async def lost(*, messages: Messages) -> bool:
            store.write(messages)
            raise DatabaseUnavailable

        async def change() -> None:
            async with reads._changes.in_steps() as steps:
                await steps.make([activity_scope(1)], reads._commit)
                await steps.make([activity_scope(2)], lost)

        with pytest.raises(DatabaseUnavailable):
            await change()
        assert await reads.read_through(KEY, Loader("new")) == Copy("new", Origin.MISS)
        await reads.relay()
        assert [entry.pending.scopes for entry in store.outbox.values()] == [(activity_scope(2),)]
        clock.now_s += HELD_S + OVERDUE_S
        await reads.relay()
        assert store.outbox == {}

    async def test_nothing_changed_is_nothing_invalidated(self, reads: Process, cache: Fragile):
        async def unchanged(*, messages: Messages) -> bool:
            return False

        async with reads._changes.in_steps() as steps:
            await steps.make([activity_scope(1)], unchanged)
        assert "invalidate" not in cache.calls

    async def test_unconfirmed_ones_close_the_cache_until_the_scopes_of_all_are_carried_out(
        self, reads: Process, cache: Fragile, store: InMemoryStore
    ):
        cache.fail("invalidate")
        async with reads.steps() as step:
            await step(activity_scope(1))
            await step(activity_scope(2))
            of_steps = [*store.outbox]
        assert store.cache_state.closed
        assert store.cache_state.era is not None
        await InMemoryOutbox(store).acknowledge(of_steps, era=store.cache_state.era)  # by somebody who had seen them
        (left,) = store.outbox.values()
        assert left.unconfirmed
        assert left.pending.scopes == (activity_scope(1), user_scope(7), activity_scope(2))


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

    async def test_across_processes_the_others_wait_for_the_first(
        self, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        processes = [await a_process(cache, store, clock) for _ in range(4)]
        load = Loader(meanwhile=lambda: asyncio.sleep(0))
        answers = await asyncio.gather(*(process.read_through(KEY, load) for process in processes for _ in range(50)))
        assert load.asked == 1
        assert {answer.value for answer in answers} == {ONE}

    async def test_one_who_claimed_and_died_holds_up_nobody_for_long(
        self, cache: Fragile, store: InMemoryStore, clock: Clock
    ):
        reads = await a_process(cache, store, clock)
        era = store.cache_state.era
        assert era is not None
        miss = await cache.read(KEY, era)
        assert isinstance(miss, Miss)
        assert await cache.claim(KEY, miss)
        assert await reads.read_through(KEY, Loader()) == Copy(ONE, Origin.MISS)

    @pytest.mark.parametrize("unreachable", [(), ("give_up",)])
    async def test_where_there_is_nothing_to_load_the_next_one_finds_that_out_at_once(
        self, cache: Fragile, store: InMemoryStore, clock: Clock, unreachable: tuple[str, ...]
    ):
        reads = await a_process(cache, store, clock)
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
            ActivityFilter(activity_types=(ActivityType.RUN,)),
            ActivityFilter(activity_types=(ActivityType.RIDE, ActivityType.RUN)),
            ActivityFilter(since=date(2026, 1, 1)),
            ActivityFilter(since=at),
            ActivityFilter(until=date(2026, 1, 1)),
            ActivityFilter(until=at),
            ActivityFilter(tags=("a",)),
            ActivityFilter(tags=("a", "b")),
            ActivityFilter(tags=("a', 'b",)),
            ActivityFilter(excluded_tags=("a",)),
            ActivityFilter(words=("a",)),
            ActivityFilter(words=("a", "b")),
            ActivityFilter(words=("run",)),
            *(ActivityFilter(sort=sort) for sort in Sort if sort is not Sort.NEWEST),
            *(ActivityFilter(distance_km=one) for one in (Range(1.0), Range(None, 1.0), Range(1.0, 2.0))),
            *(ActivityFilter(duration_minutes=one) for one in (Range(1.0), Range(None, 1.0), Range(1.0, 2.0))),
        ]
        pages = [
            Page(),
            Page(counted=False),
            Page(number=2),
            Page(limit=21),
            Page(after=Position(at, 1)),
            Page(after=Position(at, 1), counted=False),
            Page(after=Position(at, 2)),
            Page(after=Position(2.5, 2)),
            Page(after=Position(None, 2)),
        ]
        names = {listing_key(7, which, page).name for which in filters for page in pages}
        assert len(names) == len(filters) * len(pages)
        assert all(name.startswith("activities:user:{7}:") for name in names)
