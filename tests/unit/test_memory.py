"""The in-memory adapters under the contracts of their ports."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from fitness.adapters.guards.denials import DenialMemory
from fitness.adapters.memory.activities import InMemoryActivityRepo
from fitness.adapters.memory.api_keys import InMemoryApiKeys
from fitness.adapters.memory.audit import InMemoryAuditLog
from fitness.adapters.memory.cache import MOST_KEPT, InMemoryCache
from fitness.adapters.memory.cache_state import SWITCH_S, InMemoryCacheState
from fitness.adapters.memory.changes import InMemoryChangeLog
from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.memory.credentials import InMemoryAccessTokens, InMemoryDeviceTokens, InMemoryPasswordHasher
from fitness.adapters.memory.database import InMemoryDatabase
from fitness.adapters.memory.exports import InMemoryExportRepo
from fitness.adapters.memory.jobs import InMemoryJobQueue
from fitness.adapters.memory.live import InMemoryPlaces, InMemoryTickets
from fitness.adapters.memory.logins import InMemoryLoginHistory
from fitness.adapters.memory.objects import InMemoryObjectNames, InMemoryObjectStore
from fitness.adapters.memory.originals import InMemoryOriginalRepo
from fitness.adapters.memory.outbox import InMemoryOutbox
from fitness.adapters.memory.photos import InMemoryPhotoRepo
from fitness.adapters.memory.pictures import InMemoryPictureReader
from fitness.adapters.memory.rate_limits import InMemoryRateLimiter
from fitness.adapters.memory.recordings import InMemoryRecordingReader
from fitness.adapters.memory.sessions import InMemorySessionStore
from fitness.adapters.memory.standings import InMemoryStandings
from fitness.adapters.memory.statistics import InMemoryStatisticsRepo
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.tags import InMemoryTagRepo
from fitness.adapters.memory.upkeep import InMemoryUpkeepRepo
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.adapters.memory.wake_ups import InMemoryWakeUps
from fitness.adapters.observed.cache import ObservedCache
from fitness.adapters.observed.cache_state import ObservedCacheState
from fitness.adapters.observed.rate_limits import ObservedRateLimiter
from fitness.adapters.observed.timed import timed
from fitness.adapters.system.clock import SystemClock
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.jobs import Job, JobStatus
from fitness.domain.model.photos import Picture, Rendition
from fitness.domain.model.rate_limits import SECOND_US
from fitness.domain.model.recordings import MAX_ACTIVITIES, Recording
from fitness.domain.model.refusals import EmailTaken
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.api_keys import ApiKeyPort
from fitness.ports.audit import AuditLogPort
from fitness.ports.cache import CachePort, Era, Hit, Miss, Scope
from fitness.ports.cache_state import CacheStatePort
from fitness.ports.changes import ChangeLogPort
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import AccessTokenPort, DeviceTokenPort, PasswordHasherPort
from fitness.ports.exports import ExportRepoPort
from fitness.ports.health import ProbePort
from fitness.ports.jobs import JobQueuePort
from fitness.ports.live import PLACE_TTL_S, TICKET_TTL_S, PlacePort, TicketPort
from fitness.ports.logins import LoginHistoryPort
from fitness.ports.objects import ObjectNamesPort, ObjectStorePort
from fitness.ports.originals import OriginalRepoPort
from fitness.ports.outages import CacheUnavailable
from fitness.ports.outbox import OutboxPort
from fitness.ports.photos import PhotoRepoPort
from fitness.ports.pictures import PictureReaderPort
from fitness.ports.rate_limits import RateLimiterPort
from fitness.ports.recordings import RecordingReaderPort
from fitness.ports.sessions import SessionStorePort
from fitness.ports.standings import StandingPort
from fitness.ports.statistics import StatisticsRepoPort
from fitness.ports.tags import TagRepoPort
from fitness.ports.upkeep import UpkeepRepoPort
from fitness.ports.users import UserRepoPort
from fitness.ports.wake_ups import WakeUpPort
from tests.builders import a_registration, messages
from tests.files import A_TRACK, MORNING
from tests.harness.clocks import TurnedClock
from tests.pictures import a_jpeg, drawn, encoded
from tests.unit.contracts.activities import ActivityRepoContract
from tests.unit.contracts.activity_lists import ActivityListContract
from tests.unit.contracts.api_keys import ApiKeyContract
from tests.unit.contracts.cache import ANN, CacheContract, key
from tests.unit.contracts.cache_state import CacheStateContract
from tests.unit.contracts.changes import ChangeLogContract
from tests.unit.contracts.clock import ClockContract
from tests.unit.contracts.credentials import AccessTokenContract, DeviceTokenContract, PasswordHasherContract
from tests.unit.contracts.exports import ExportRepoContract
from tests.unit.contracts.health import ProbeContract
from tests.unit.contracts.jobs import Enqueue, Fail, JobQueueContract
from tests.unit.contracts.live import PlaceContract, TicketContract, WakeUpContract
from tests.unit.contracts.logins import LoginHistoryContract
from tests.unit.contracts.objects import ObjectStoreContract
from tests.unit.contracts.originals import OriginalRepoContract
from tests.unit.contracts.outbox import OutboxContract
from tests.unit.contracts.photos import PhotoRepoContract
from tests.unit.contracts.pictures import PictureReaderContract
from tests.unit.contracts.rate_limits import RateLimiterContract, charge
from tests.unit.contracts.recordings import ENDLESS, MOST_TRACKS, TOO_MANY_TRACKS, RecordingReaderContract
from tests.unit.contracts.sessions import SessionStoreContract
from tests.unit.contracts.standings import StandingContract
from tests.unit.contracts.statistics import StatisticsRepoContract
from tests.unit.contracts.tags import TagRepoContract
from tests.unit.contracts.upkeep import UpkeepRepoContract
from tests.unit.contracts.users import UserRepoContract
from tests.unit.doubles import WatchedCache


class InOneStore:
    @pytest.fixture
    def store(self) -> InMemoryStore:
        return InMemoryStore()

    @pytest.fixture
    def repo(self, store: InMemoryStore) -> ActivityRepoPort:
        return InMemoryActivityRepo(store)

    @pytest.fixture
    def users(self, store: InMemoryStore) -> UserRepoPort:
        return InMemoryUserRepo(store)

    @pytest.fixture
    def standings(self, store: InMemoryStore) -> StandingPort:
        return InMemoryStandings(store)

    @pytest.fixture
    def audit(self, store: InMemoryStore) -> AuditLogPort:
        return InMemoryAuditLog(store)

    @pytest.fixture
    def outbox(self, store: InMemoryStore) -> OutboxPort:
        return InMemoryOutbox(store)

    @pytest.fixture
    def states(self, store: InMemoryStore) -> CacheStatePort:
        return InMemoryCacheState(store, switch_s=0.0)

    @pytest.fixture
    def statistics(self, store: InMemoryStore) -> StatisticsRepoPort:
        return InMemoryStatisticsRepo(store)

    @pytest.fixture
    def tags(self, store: InMemoryStore) -> TagRepoPort:
        return InMemoryTagRepo(store)

    @pytest.fixture
    def photos(self, store: InMemoryStore) -> PhotoRepoPort:
        return InMemoryPhotoRepo(store)

    @pytest.fixture
    def originals(self, store: InMemoryStore) -> OriginalRepoPort:
        return InMemoryOriginalRepo(store)

    @pytest.fixture
    def exports(self, store: InMemoryStore) -> ExportRepoPort:
        return InMemoryExportRepo(store)

    @pytest.fixture
    def names(self, store: InMemoryStore) -> ObjectNamesPort:
        return InMemoryObjectNames(store)


class TestInMemoryActivityRepo(InOneStore, ActivityRepoContract):
    pass


class TestInMemoryActivityLists(InOneStore, ActivityListContract):
    pass


class TestInMemoryStatistics(InOneStore, StatisticsRepoContract):
    pass


class TestInMemoryTags(InOneStore, TagRepoContract):
    pass


class TestInMemoryChangeLog(InOneStore, ChangeLogContract):
    @pytest.fixture
    def log(self, store: InMemoryStore) -> ChangeLogPort:
        return InMemoryChangeLog(store)


class TestInMemoryTickets(TicketContract):
    @pytest.fixture
    def clock(self) -> TurnedClock:
        return TurnedClock()

    @pytest.fixture
    def tickets(self, clock: TurnedClock) -> TicketPort:
        return InMemoryTickets(clock.monotonic_s)

    @pytest.fixture
    def over(self, clock: TurnedClock) -> Callable[[], None]:
        return lambda: setattr(clock, "now_s", clock.now_s + TICKET_TTL_S)


class TestInMemoryPlaces(PlaceContract):
    @pytest.fixture
    def clock(self) -> TurnedClock:
        return TurnedClock()

    @pytest.fixture
    def places(self, clock: TurnedClock) -> PlacePort:
        return InMemoryPlaces(clock.monotonic_s)

    @pytest.fixture
    def over(self, clock: TurnedClock) -> Callable[[], None]:
        return lambda: setattr(clock, "now_s", clock.now_s + PLACE_TTL_S)


class TestInMemoryWakeUps(WakeUpContract):
    @pytest.fixture
    def here(self) -> WakeUpPort:
        return InMemoryWakeUps()

    @pytest.fixture
    def there(self, here: WakeUpPort) -> WakeUpPort:
        return here


class TestInMemoryPhotos(InOneStore, PhotoRepoContract):
    pass


class TestInMemoryPictureReader(PictureReaderContract):
    @pytest.fixture
    def reader(self) -> PictureReaderPort:
        seen = Rendition(encoded(drawn(), "JPEG"), "image/jpeg", 60, 40)
        return InMemoryPictureReader({a_jpeg(): Picture(seen, seen)})


class TestInMemoryUserRepo(InOneStore, UserRepoContract):
    pass


class TestInMemoryStandings(InOneStore, StandingContract):
    pass


class TestInMemoryApiKeys(InOneStore, ApiKeyContract):
    @pytest.fixture
    def api_keys(self, store: InMemoryStore) -> ApiKeyPort:
        return InMemoryApiKeys(store)


class TestInMemorySessionStore(SessionStoreContract):
    @pytest.fixture
    def session_store(self) -> SessionStorePort:
        return InMemorySessionStore()


class TestInMemoryCacheState(InOneStore, CacheStateContract):
    async def test_servers_change_at_most_once_in_five_seconds(self):
        now_s = 100.0
        states = InMemoryCacheState(InMemoryStore(monotonic_s=lambda: now_s))
        state = (await states.name_server("first", epoch=0)).state
        state = (await states.name_server("second", epoch=state.epoch)).state
        assert not (await states.name_server("third", epoch=state.epoch)).changed
        now_s += SWITCH_S
        assert (await states.name_server("third", epoch=state.epoch)).changed


class TestObservedCacheState(InOneStore, CacheStateContract):
    @pytest.fixture
    def states(self, store: InMemoryStore) -> CacheStatePort:
        return ObservedCacheState(InMemoryCacheState(store, switch_s=0.0))


class TestInMemoryUpkeepRepo(InOneStore, UpkeepRepoContract):
    @pytest.fixture
    def upkeep(self, store: InMemoryStore) -> UpkeepRepoPort:
        return InMemoryUpkeepRepo(store)

    @pytest.fixture
    def log(self, store: InMemoryStore) -> ChangeLogPort:
        return InMemoryChangeLog(store)


class TestInMemoryJobQueue(InOneStore, JobQueueContract):
    @pytest.fixture
    def jobs(self, store: InMemoryStore) -> JobQueuePort:
        return InMemoryJobQueue(store)

    @pytest.fixture
    def enqueue(self, store: InMemoryStore) -> Enqueue:
        async def enqueue(job: Job) -> None:
            store.write(replace(messages(), jobs=(job,)))

        return enqueue

    @pytest.fixture
    def fail(self, store: InMemoryStore) -> Fail:
        async def fail(job_id: int) -> None:
            store.jobs[job_id].status = JobStatus.FAILED

        return fail


class TestInMemoryOutbox(InOneStore, OutboxContract):
    pass


class TestInMemoryCache(CacheContract):
    @pytest.fixture
    def cache(self) -> CachePort:
        return InMemoryCache()

    async def test_a_copy_is_gone_after_its_time_give_or_take_a_tenth(self):
        now_s = 0.0
        cache = InMemoryCache(lambda: now_s)
        era = Era(await cache.run_id(), "era")
        for name in map(str, range(100)):
            now_s = 0.0
            miss = await cache.read(key(name), era)
            assert isinstance(miss, Miss)
            await cache.fill(key(name), "value", miss)
            now_s = 53.9
            assert isinstance(await cache.read(key(name), era), Hit)
            now_s = 66.1
            assert isinstance(await cache.read(key(name), era), Miss)

    async def test_no_more_is_kept_than_there_is_room_for_and_the_oldest_goes_first(self):
        cache = InMemoryCache()
        era = Era(await cache.run_id(), "era")
        for number in range(MOST_KEPT + 10):
            one = key(str(number), Scope("user", number))
            miss = await cache.read(one, era)
            assert isinstance(miss, Miss)
            await cache.claim(one, miss)
            await cache.fill(one, "value", miss)
        assert await cache.sizes() == {"keys": MOST_KEPT, "evicted": 10}
        assert max(len(cache._generations), len(cache._claims)) <= MOST_KEPT
        assert isinstance(await cache.read(key("9", Scope("user", 9)), era), Miss)
        assert isinstance(await cache.read(key("11", Scope("user", 11)), era), Hit)


class TestWatchedCache(CacheContract):
    @pytest.fixture
    def calls(self) -> list[str]:
        return []

    @pytest.fixture
    def cache(self, calls: list[str]) -> CachePort:
        async def note(call: str) -> None:
            calls.append(call)

        return WatchedCache(note)

    async def test_every_call_is_seen_and_may_be_refused(self, cache: CachePort, era: Era, calls: list[str]):
        assert isinstance(cache, WatchedCache)
        calls.clear()
        miss = await self.missed(cache, era, key())
        await cache.claim(key(), miss)
        await cache.give_up(key(), miss)
        await cache.fill(key(), "value", miss)
        await cache.invalidate(era, ANN)
        await cache.run_id()
        assert calls == ["read", "claim", "give_up", "fill", "invalidate", "run_id"]

        async def refuse(_: str) -> None:
            raise CacheUnavailable

        cache.before = refuse
        with pytest.raises(CacheUnavailable):
            await cache.read(key(), era)


class TestInMemoryPasswordHasher(PasswordHasherContract):
    @pytest.fixture
    def hasher(self) -> PasswordHasherPort:
        return InMemoryPasswordHasher()


class TestInMemoryAccessTokens(AccessTokenContract):
    @pytest.fixture
    def tokens(self, clock: ManualClock) -> AccessTokenPort:
        return InMemoryAccessTokens(clock)


class TestInMemoryDeviceTokens(DeviceTokenContract):
    @pytest.fixture
    def devices(self, clock: ManualClock) -> DeviceTokenPort:
        return InMemoryDeviceTokens(clock)


class TestInMemoryRecordingReader(RecordingReaderContract):
    @pytest.fixture
    def reader(self) -> RecordingReaderPort:
        loop = Recording(
            activity_type=ActivityType.RUN,
            started_at=MORNING,
            utc_offset=None,
            duration_s=600,
            title="Morning loop",
            place_zone="Europe/Ljubljana",
        )
        endless = replace(loop, duration_s=1e9)
        tracks = {MOST_TRACKS: [loop] * MAX_ACTIVITIES, TOO_MANY_TRACKS: [loop] * (MAX_ACTIVITIES + 1)}
        return InMemoryRecordingReader({A_TRACK: [loop], ENDLESS: [endless]} | tracks)


class TestInMemoryDatabase(ProbeContract):
    @pytest.fixture
    def probe(self) -> ProbePort:
        return InMemoryDatabase()


class TestInMemoryCacheAsAStore(ProbeContract):
    @pytest.fixture
    def probe(self) -> ProbePort:
        return InMemoryCache()


class TestManualClock(ClockContract):
    @pytest.fixture
    def clock(self) -> ClockPort:
        return ManualClock()

    def test_it_moves_only_when_moved(self):
        clock = ManualClock()
        start = clock.now()
        clock.advance(timedelta(hours=1))
        assert clock.now() - start == timedelta(hours=1)


class TestSystemClock(ClockContract):
    @pytest.fixture
    def clock(self) -> ClockPort:
        return SystemClock()


class TestTimedActivityRepo(InOneStore, ActivityRepoContract):
    @pytest.fixture
    def repo(self, store: InMemoryStore) -> ActivityRepoPort:
        return timed(InMemoryActivityRepo(store), "activities", lambda *_: None)


class TestTimedUserRepo(InOneStore, UserRepoContract):
    @pytest.fixture
    def users(self, store: InMemoryStore) -> UserRepoPort:
        return timed(InMemoryUserRepo(store), "users", lambda *_: None)


async def test_a_timed_call_is_recorded_under_its_name_and_passed_on_only_where_it_succeeded():
    recorded: list[str] = []
    passed_on: list[object] = []
    users = timed(
        InMemoryUserRepo(InMemoryStore()),
        "users",
        lambda seconds, name: recorded.append(name),
        then={"add": passed_on.append},
    )
    user = await users.add(a_registration(email="ann@example.org"), password_hash="-", at=MORNING)
    with pytest.raises(EmailTaken):
        await users.add(a_registration(email="ann@example.org"), password_hash="-", at=MORNING)
    assert await users.get(user.id) == user
    assert recorded == ["users.add", "users.add", "users.get"]
    assert passed_on == [user]


class TestObservedCache(CacheContract):
    @pytest.fixture
    def cache(self) -> CachePort:
        return ObservedCache(InMemoryCache())


class TestDenialMemory(RateLimiterContract):
    @pytest.fixture
    def clock(self) -> TurnedClock:
        return TurnedClock()

    @pytest.fixture
    def counted(self, clock: TurnedClock) -> ObservedRateLimiter:
        return ObservedRateLimiter(InMemoryRateLimiter(clock.monotonic_s))

    @pytest.fixture
    def limiter(self, clock: TurnedClock, counted: ObservedRateLimiter) -> RateLimiterPort:
        return DenialMemory(counted, clock.monotonic_s)

    async def test_a_flood_is_answered_without_asking(
        self, limiter: RateLimiterPort, counted: ObservedRateLimiter, clock: TurnedClock
    ):
        one = charge(2)
        decisions = [await limiter.acquire([one]) for _ in range(1_000)]
        assert sum(decision.allowed for decision in decisions) == 2
        assert counted.decisions == {("requests", "allowed"): 2, ("requests", "denied"): 1}
        await clock.turn(30 * SECOND_US)
        assert (await limiter.acquire([one])).allowed

    async def test_no_more_is_remembered_than_there_is_room_for(self, counted: ObservedRateLimiter, clock: TurnedClock):
        limiter = DenialMemory(counted, clock.monotonic_s, most_remembered=1_000)
        everybody = [charge(1, subject=f"address:{number}") for number in range(1_010)]
        for one in everybody:
            await limiter.acquire([one])
            await limiter.acquire([one])
        asked = counted.decisions["requests", "denied"]
        for one in everybody[10:]:
            await limiter.acquire([one])
        assert counted.decisions["requests", "denied"] == asked  # all of these are remembered
        for one in everybody[:10]:
            await limiter.acquire([one])
        assert counted.decisions["requests", "denied"] == asked + 10


class TestObservedRateLimiter(RateLimiterContract):
    @pytest.fixture
    def clock(self) -> TurnedClock:
        return TurnedClock()

    @pytest.fixture
    def limiter(self, clock: TurnedClock) -> RateLimiterPort:
        return ObservedRateLimiter(InMemoryRateLimiter(clock.monotonic_s))


class TestInMemoryLoginHistory(LoginHistoryContract):
    @pytest.fixture
    def logins(self) -> LoginHistoryPort:
        return InMemoryLoginHistory()


class TestInMemoryRateLimiter(RateLimiterContract):
    @pytest.fixture
    def clock(self) -> TurnedClock:
        return TurnedClock()

    @pytest.fixture
    def limiter(self, clock: TurnedClock) -> RateLimiterPort:
        return InMemoryRateLimiter(clock.monotonic_s)


class TestInMemoryExports(InOneStore, ExportRepoContract):
    pass


class TestInMemoryOriginals(InOneStore, OriginalRepoContract):
    pass


class TestObjects(ObjectStoreContract):
    @pytest.fixture
    def objects(self) -> ObjectStorePort:
        return InMemoryObjectStore(SystemClock())
