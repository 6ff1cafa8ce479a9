"""The live feed's followers, without a socket."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack

import pytest

from fitness.adapters.memory.activities import InMemoryActivityRepo
from fitness.adapters.memory.changes import InMemoryChangeLog
from fitness.adapters.memory.live import InMemoryPlaces
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.adapters.memory.wake_ups import InMemoryWakeUps
from fitness.domain.model.changes import ChangePage
from fitness.domain.model.refusals import ChangesNotKept, NotAuthenticated, TooManyFollowers
from fitness.domain.model.users import Caller
from fitness.domain.use_cases import live
from fitness.domain.use_cases.changes import ChangeService
from fitness.domain.use_cases.live import MOST_OF_USER, PAGE, UNKNOWN_S, FeedStopped, Follower, LiveFeed
from fitness.ports.live import Place
from fitness.ports.outages import DatabaseUnavailable, TicketsUnavailable
from tests.builders import NOW, a_registration, an_activity, messages
from tests.harness.clocks import TurnedClock
from tests.patience import PATIENCE_S


class ShakyLog(InMemoryChangeLog):
    down = False
    asked = 0
    meanwhile: Callable[[], Awaitable[None]] | None = None
    """What happens once, when an answer is on its way and no longer new."""

    async def after(self, owner: int, seq: int, *, most: int) -> ChangePage:
        self.asked += 1
        if self.down:
            raise DatabaseUnavailable
        page = await super().after(owner, seq, most=most)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        await asyncio.sleep(0)
        return page


class NoPlaces:
    async def take(self, place: Place, *, most: int) -> bool:
        raise TicketsUnavailable

    async def keep(self, places: Iterable[Place]) -> None:
        raise TicketsUnavailable

    async def leave(self, place: Place) -> None:
        raise TicketsUnavailable


class FarPlaces(InMemoryPlaces):
    """In a store that takes some time for each, and that may be out of reach."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        super().__init__(monotonic_s)
        self.down = False
        self.one_is_kept = asyncio.Event()
        self.go_on = asyncio.Event()

    async def keep(self, places: Iterable[Place]) -> None:
        for place in places:
            await super().keep([place])
            self.one_is_kept.set()
            await self.go_on.wait()

    async def leave(self, place: Place) -> None:
        if self.down:
            raise TicketsUnavailable
        await super().leave(place)


class Stage:
    def __init__(self) -> None:
        store = InMemoryStore()
        self.repo = InMemoryActivityRepo(store)
        self.users = InMemoryUserRepo(store)
        self.log = ShakyLog(store)
        self.clock = TurnedClock()
        self.places = InMemoryPlaces(self.clock.monotonic_s)
        self.ended: set[str] = set()
        self.unknown = False
        self.broken: set[str] = set()
        self.wake_ups = InMemoryWakeUps()
        self.feed = self.another()
        self.ann = Caller(0, "a")

    def another(self, places: InMemoryPlaces | NoPlaces | None = None) -> LiveFeed:
        """That of another process."""
        changes = ChangeService(self.log)
        return LiveFeed(changes, self.wake_ups, places or self.places, self.check, self.clock.monotonic_s)

    async def check(self, caller: Caller) -> None:
        if self.unknown:
            raise DatabaseUnavailable
        if caller.session_id in self.ended:
            raise NotAuthenticated("this session has ended; log in again")
        if caller.session_id in self.broken:
            raise OverflowError("nobody foresaw this")

    async def change(self, times: int = 1) -> None:
        await self.repo.add_all([an_activity(user_id=self.ann.id) for _ in range(times)], messages=messages())


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    stage.ann = Caller((await stage.users.add(a_registration(), password_hash="-", at=NOW)).id, "a")
    return stage


async def told(follower: Follower) -> list[int]:
    return [change.seq for change in await asyncio.wait_for(follower.next(), PATIENCE_S)]


async def idle() -> None:
    """Everything that can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_behind_the_cursor_comes_first_page_by_page(stage: Stage):
    await stage.change(PAGE + 3)
    async with stage.feed.following(stage.ann, 1) as follower:
        assert await told(follower) == [*range(2, PAGE + 2)]
        assert not follower.caught_up
        assert await told(follower) == [PAGE + 2, PAGE + 3]


async def test_who_is_up_to_date_waits_and_is_woken(stage: Stage):
    async with stage.feed.following(stage.ann, 0) as follower:
        telling = asyncio.ensure_future(told(follower))
        await idle()
        await stage.change()
        await idle()
        assert not telling.done()  # nobody said anything
        stage.feed.wake(stage.ann.id + 1)
        await idle()
        assert not telling.done()
        stage.feed.wake(stage.ann.id)
        assert await telling == [1]
        assert follower.caught_up


async def test_wake_ups_are_heard_while_anybody_follows_and_only_then(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "CHECK_S", 0.01)
    monkeypatch.setattr(live, "LISTEN_AGAIN_S", 0.0)
    running = asyncio.ensure_future(stage.feed.run())
    for _ in range(2):
        await idle()
        assert not stage.wake_ups.listens
        async with stage.feed.following(stage.ann, 0):
            await until(lambda: stage.wake_ups.listens)
        await until(lambda: not stage.wake_ups.listens)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - what it waits for knows no event
            await asyncio.sleep(0.001)


async def test_a_look_at_the_log_wakes_whoever_is_behind_and_nobody_else(stage: Stage):
    await stage.change()
    async with stage.feed.following(stage.ann, 1) as follower:
        telling = asyncio.ensure_future(told(follower))
        await idle()
        asked = stage.log.asked
        await stage.feed.poll()
        await idle()
        assert stage.log.asked == asked
        await stage.change()
        await stage.feed.poll()
        assert await telling == [2]


async def test_a_change_that_comes_between_the_answer_and_the_wait_is_not_missed(stage: Stage):
    async def change() -> None:
        await stage.change()
        stage.feed.wake(stage.ann.id)

    async with stage.feed.following(stage.ann, 0) as follower:
        stage.log.meanwhile = change
        assert await told(follower) == [1]


async def test_however_often_and_whenever_it_is_woken_each_change_comes_once_and_in_order(stage: Stage):
    draw = random.Random(3)
    async with stage.feed.following(stage.ann, 0) as follower:
        seen: list[int] = []

        async def follow() -> None:
            while len(seen) < 200:
                seen.extend(await told(follower))

        following = asyncio.ensure_future(follow())
        for _ in range(200):
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
            await stage.change()
            for _ in range(draw.randrange(1, 3)):
                stage.feed.wake(stage.ann.id)
        await following
    assert seen == [*range(1, 201)]


async def test_nothing_is_lost_by_who_gives_up_waiting(stage: Stage):
    async with stage.feed.following(stage.ann, 0) as follower:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(follower.next(), 0.01)
        await stage.change()
        assert await told(follower) == [1]


async def test_while_the_log_does_not_answer_a_follower_waits(stage: Stage):
    async with stage.feed.following(stage.ann, 0) as follower:
        stage.log.down = True
        await stage.change()
        telling = asyncio.ensure_future(told(follower))
        await idle()
        stage.feed.wake(stage.ann.id)
        await idle()
        assert not telling.done()
        stage.log.down = False
        await stage.feed.poll()
        assert await telling == [1]


async def test_who_is_overtaken_by_the_trimming_is_told_so(stage: Stage):
    await stage.change(3)
    async with stage.feed.following(stage.ann, 0) as follower:
        await stage.log.trim(NOW.replace(year=NOW.year + 1), most=2)
        with pytest.raises(ChangesNotKept):
            await follower.next()
    with pytest.raises(ChangesNotKept):
        await stage.feed.admit(stage.ann, 1)
    assert await stage.feed.admit(stage.ann, 2) == 2
    assert await stage.feed.admit(stage.ann, None) == 3


async def test_a_user_has_so_many_places_in_all_processes_together(stage: Stage):
    others = [stage.another() for _ in range(MOST_OF_USER)]
    begun = [feed.following(stage.ann, 0) for feed in others]
    for one in begun:
        await one.__aenter__()
    with pytest.raises(TooManyFollowers):
        async with stage.feed.following(stage.ann, 0):
            pass
    await begun[0].__aexit__(None, None, None)
    async with stage.feed.following(stage.ann, 0), stage.feed.following(Caller(stage.ann.id + 1, "b"), 0):
        pass
    for one in begun[1:]:
        await one.__aexit__(None, None, None)


async def test_without_the_store_of_places_each_process_counts_for_itself(stage: Stage):
    feed = stage.another(NoPlaces())
    begun = [feed.following(stage.ann, 0) for _ in range(MOST_OF_USER)]
    for one in begun:
        await one.__aenter__()
    with pytest.raises(TooManyFollowers):
        async with feed.following(stage.ann, 0):
            pass
    for one in begun:
        await one.__aexit__(None, None, None)


async def test_places_are_kept_while_the_connection_lasts(stage: Stage):
    async with stage.feed.following(stage.ann, 0) as follower:
        for _ in range(10):
            stage.clock.now_s += 15
            await stage.feed.check_standings()
        assert not await stage.places.take((stage.ann.id, "another"), most=1)
        assert follower.place[0] == stage.ann.id


async def test_an_ended_session_ends_its_followers_and_no_others(stage: Stage):
    other = Caller(stage.ann.id, "b")
    async with stage.feed.following(stage.ann, 0) as follower, stage.feed.following(other, 0) as spared:
        stage.ended.add("a")
        await stage.feed.check_standings()
        with pytest.raises(NotAuthenticated):
            await follower.next()
        await stage.change()
        assert await told(spared) == [1]


async def test_a_standing_that_nobody_knows_for_long_ends_the_follower(stage: Stage):
    async with stage.feed.following(stage.ann, 0) as follower:
        stage.unknown = True
        stage.clock.now_s += UNKNOWN_S - 1
        await stage.feed.check_standings()
        await stage.change()
        assert await told(follower) == [1]
        stage.clock.now_s += 2
        await stage.feed.check_standings()
        with pytest.raises(DatabaseUnavailable):
            await follower.next()


async def test_a_check_that_breaks_keeps_no_other_connection_from_its_check(stage: Stage):
    other = Caller(stage.ann.id, "b")
    async with stage.feed.following(stage.ann, 0), stage.feed.following(other, 0) as ended:
        stage.broken.add("a")
        stage.ended.add("b")
        await stage.feed.check_standings()
        with pytest.raises(NotAuthenticated):
            await ended.next()
        stage.clock.now_s += 15
        await stage.feed.check_standings()
        stage.clock.now_s += 15
        assert not await stage.places.take((stage.ann.id, "another"), most=1)


async def test_a_connection_that_cannot_be_checked_for_long_ends(stage: Stage):
    async with stage.feed.following(stage.ann, 0) as follower:
        stage.broken.add("a")
        stage.clock.now_s += UNKNOWN_S + 1
        await stage.feed.check_standings()
        with pytest.raises(OverflowError):
            await follower.next()


async def test_a_check_that_breaks_in_each_round_is_logged_once(stage: Stage, caplog: pytest.LogCaptureFixture):
    other = Caller(stage.ann.id, "b")
    async with stage.feed.following(stage.ann, 0), stage.feed.following(other, 0):
        for broken, lines in [({"a", "b"}, 1), ({"a"}, 1), (set(), 1), ({"b"}, 2)]:
            stage.broken = broken
            await stage.feed.check_standings()
            assert [record.exc_info is not None for record in caplog.records] == [True] * lines


async def test_a_stopped_feed_ends_all_and_takes_no_more(stage: Stage):
    async with stage.feed.following(stage.ann, 0) as follower:
        stage.feed.stop()
        with pytest.raises(FeedStopped):
            await follower.next()
    with pytest.raises(FeedStopped):
        async with stage.feed.following(stage.ann, 0):
            pass


async def places_free(stage: Stage, places: InMemoryPlaces) -> int:
    taken = [await places.take((stage.ann.id, f"other{number}"), most=MOST_OF_USER) for number in range(MOST_OF_USER)]
    return sum(taken)


async def test_a_place_that_is_left_while_others_are_kept_is_free(stage: Stage):
    places = FarPlaces(stage.clock.monotonic_s)
    feed = stage.another(places)
    async with AsyncExitStack() as followers:
        for _ in range(MOST_OF_USER):
            await followers.enter_async_context(feed.following(stage.ann, 0))
        checking = asyncio.ensure_future(feed.check_standings())
        await places.one_is_kept.wait()
    places.go_on.set()
    await checking
    assert await places_free(stage, places) == MOST_OF_USER


async def test_a_place_that_is_left_while_the_store_of_places_is_down_is_freed_when_it_is_back(stage: Stage):
    places = FarPlaces(stage.clock.monotonic_s)
    feed = stage.another(places)
    async with feed.following(stage.ann, 0):
        places.down = True
    with pytest.raises(TicketsUnavailable):
        await feed.check_standings()
    places.down = False
    await feed.check_standings()
    assert await places_free(stage, places) == MOST_OF_USER
