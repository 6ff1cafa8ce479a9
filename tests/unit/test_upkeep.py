"""What the service deletes by itself, on the in-memory adapters; the clock is moved."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from fitness.adapters.credentials.exports import HmacExportTokens
from fitness.adapters.credentials.refresh import HmacRefreshTokens
from fitness.adapters.memory.activities import InMemoryActivityRepo
from fitness.adapters.memory.audit import InMemoryAuditLog
from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.changes import InMemoryChangeLog
from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.memory.credentials import InMemoryAccessTokens
from fitness.adapters.memory.exports import InMemoryExportRepo
from fitness.adapters.memory.jobs import InMemoryJobQueue, InMemoryWorker
from fitness.adapters.memory.logins import InMemoryLoginHistory
from fitness.adapters.memory.objects import InMemoryObjectNames, InMemoryObjectStore
from fitness.adapters.memory.originals import InMemoryOriginalRepo
from fitness.adapters.memory.photos import InMemoryPhotoRepo
from fitness.adapters.memory.sessions import InMemorySessionStore
from fitness.adapters.memory.standings import InMemoryStandings
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.upkeep import InMemoryUpkeepRepo
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.adapters.observed.jobs import ObservedJobs
from fitness.domain.model.activities import Activity, ActivityState
from fitness.domain.model.audit import AuditAction, Authority
from fitness.domain.model.changes import CHANGES_KEPT_FOR
from fitness.domain.model.jobs import EVERY, Job, JobStatus, Queue, Task
from fitness.domain.model.listings import Page
from fitness.domain.model.refusals import ActivityExpired, ActivityInTrash, ActivityNotFound
from fitness.domain.model.users import RESTORED_FOR, Caller, account_name, normalized_email
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.background import BackgroundService
from fitness.domain.use_cases.exporting import ExportService
from fitness.domain.use_cases.originals import ObjectSweep
from fitness.domain.use_cases.sessions import SessionService
from fitness.domain.use_cases.upkeep import ERASED_AFTER, PURGED_AT_ONCE, UpkeepService
from fitness.ports.logins import LoginsFrom
from fitness.ports.outages import DatabaseUnavailable
from tests.builders import a_new_activity, a_registration, messages
from tests.unit.processes import CachingProcess

TRASH_DAYS = 7
MONTH = timedelta(days=30)


@dataclass
class House:
    store: InMemoryStore
    clock: ManualClock
    users: InMemoryUserRepo
    logins: InMemoryLoginHistory
    activities: ActivityService
    upkeep: UpkeepService
    audit: InMemoryAuditLog
    log: InMemoryChangeLog
    background: BackgroundService

    async def caller(self, email: str = "ann@example.org") -> Caller:
        user = await self.users.add(a_registration(email=email), password_hash="-", at=self.clock.now())
        return Caller(user.id, "session")

    async def trashed(self, by: Caller) -> Activity:
        one = (await self.activities.create(a_new_activity(), by=by)).activity
        await self.activities.delete(one.id, by=by)
        return one

    async def depart(self, who: Caller) -> None:
        assert await self.users.soft_delete(who.id, before="-", at=self.clock.now(), messages=messages())

    async def logged(self) -> list[tuple[AuditAction, int, int | None]]:
        entries = (await self.audit.list(Page(limit=100))).items
        return sorted((one.action, one.subject_id, one.actor_id) for one in entries)


@pytest.fixture
async def house() -> House:
    store, clock = InMemoryStore(), ManualClock()
    users, process = InMemoryUserRepo(store), CachingProcess(InMemoryCache(), store)
    await process.relay.relay()
    tokens, refresh_tokens = InMemoryAccessTokens(clock), HmacRefreshTokens(["k" * 32])
    standings, log, logins = InMemoryStandings(store), InMemoryChangeLog(store), InMemoryLoginHistory()
    sessions = SessionService(InMemorySessionStore(), standings, tokens, refresh_tokens, process.changes, clock)
    upkeep = UpkeepService(
        InMemoryUpkeepRepo(store),
        log,
        logins,
        sessions,
        InMemoryJobQueue(store),
        process.changes,
        clock,
        TRASH_DAYS,
        b"secret",
    )
    objects, repo = InMemoryObjectStore(clock), InMemoryActivityRepo(store)
    sweep = ObjectSweep(objects, InMemoryObjectNames(store), clock)
    exports = ExportService(
        InMemoryExportRepo(store),
        users,
        repo,
        InMemoryOriginalRepo(store),
        InMemoryPhotoRepo(store),
        objects,
        HmacExportTokens(["k" * 32]),
        process.changes,
        clock,
    )
    return House(
        store=store,
        clock=clock,
        users=users,
        logins=logins,
        activities=ActivityService(repo, users, process.reads, process.changes, clock, trash_days=TRASH_DAYS),
        upkeep=upkeep,
        audit=InMemoryAuditLog(store),
        log=log,
        background=BackgroundService(upkeep, sweep, exports),
    )


class TestTheTrash:
    async def test_is_emptied_when_its_days_are_over_and_not_before(self, house: House):
        ann = await house.caller()
        one = await house.trashed(ann)
        house.clock.advance(timedelta(days=TRASH_DAYS) - timedelta(microseconds=1))
        assert await house.upkeep.empty_trash() == 0
        house.clock.advance(timedelta(microseconds=1))
        assert await house.upkeep.empty_trash() == 1
        assert await house.logged() == [(AuditAction.ACTIVITY_PURGED, one.id, None)]
        with pytest.raises(ActivityNotFound):
            await house.activities.get(one.id, by=ann)

    async def test_is_emptied_however_much_there_is(self, house: House):
        ann = await house.caller()
        for _ in range(PURGED_AT_ONCE + 3):
            await house.trashed(ann)
        house.clock.advance(timedelta(days=TRASH_DAYS))
        assert await house.upkeep.empty_trash() == PURGED_AT_ONCE + 3
        assert house.store.activities == {}

    async def test_gives_nothing_back_once_purge_at_is_over(self, house: House):
        ann = await house.caller()
        one = await house.trashed(ann)
        (shown,) = (await house.activities.trash(Page(), by=ann)).items
        house.clock.advance(shown.purge_at - house.clock.now() - timedelta(microseconds=1))
        asked: list[Callable[[], Awaitable[object]]] = [
            lambda: house.activities.get(one.id, by=ann),
            lambda: house.activities.update(one.id, {"title": "hills"}, by=ann),
            lambda: house.activities.delete(one.id, by=ann),
        ]
        for ask in asked:
            with pytest.raises(ActivityInTrash):
                await ask()
        house.clock.advance(timedelta(microseconds=1))
        for ask in (*asked, lambda: house.activities.restore(one.id, by=ann)):
            with pytest.raises(ActivityExpired):
                await ask()
        assert await InMemoryActivityRepo(house.store).state(one.id) is ActivityState.TRASHED

    async def test_gives_back_until_then(self, house: House):
        ann = await house.caller()
        one = await house.trashed(ann)
        house.clock.advance(timedelta(days=TRASH_DAYS) - timedelta(microseconds=1))
        assert (await house.activities.restore(one.id, by=ann)).id == one.id


class TestAnAccountThatWasDeleted:
    async def test_is_erased_with_all_that_was_in_it_once_nobody_can_restore_it(self, house: House):
        ann, ben = await house.caller(), await house.caller("ben@example.org")
        mine = (await house.activities.create(a_new_activity(), by=ann)).activity, await house.trashed(ann)
        other = (await house.activities.create(a_new_activity(), by=ben)).activity
        name = account_name(normalized_email("ann@example.org"), b"secret")
        await house.depart(ann)
        house.clock.advance(ERASED_AFTER - timedelta(microseconds=1))
        assert await house.upkeep.erase_accounts() == 0
        house.clock.advance(timedelta(microseconds=1))
        await house.logins.add_success(name, "home", at=house.clock.now())
        assert await house.upkeep.erase_accounts() == 1
        assert await house.logged() == [
            *sorted((AuditAction.ACTIVITY_PURGED, one.id, None) for one in mine),
            (AuditAction.USER_ERASED, ann.id, None),
        ]
        assert house.store.activities.keys() == {other.id}
        assert ann.id not in house.store.deleted_users
        assert ann.id not in house.store.changes
        assert await house.logins.of(name, ["home"], at=house.clock.now()) == [LoginsFrom()]
        assert await house.upkeep.erase_accounts() == 0

    async def test_can_no_longer_be_restored_when_it_is_erased(self, house: House):
        assert ERASED_AFTER > RESTORED_FOR
        ann = await house.caller()
        await house.depart(ann)
        house.clock.advance(ERASED_AFTER)
        sent = messages(authority=Authority(actor_id=1, at=house.clock.now(), reason="asked for"))
        after = house.clock.now() - RESTORED_FOR
        assert await house.users.restore(ann.id, after=after, messages=sent) is None

    async def test_leaves_the_logins_of_whoever_has_its_address_now(self, house: House):
        await house.depart(await house.caller())
        await house.caller()
        house.clock.advance(ERASED_AFTER)
        name = account_name(normalized_email("ann@example.org"), b"secret")
        await house.logins.add_success(name, "home", at=house.clock.now())
        assert await house.upkeep.erase_accounts() == 1
        assert (await house.logins.of(name, ["home"], at=house.clock.now()))[0].known


async def test_changes_and_jobs_that_are_too_old_are_forgotten(house: House):
    ann = await house.caller()
    await house.trashed(ann)
    house.store.enqueue(Job(Task.EMPTY_TRASH))
    (job,) = house.store.jobs.values()
    job.status, job.ended_at = JobStatus.FAILED, house.clock.now()
    house.clock.advance(CHANGES_KEPT_FOR)
    await house.upkeep.forget_expired()
    assert len((await house.log.after(ann.id, 0, most=10)).changes) == 2
    assert house.store.jobs == {}
    house.clock.advance(timedelta(microseconds=1))
    await house.upkeep.forget_expired()
    assert (await house.log.after(ann.id, 0, most=10)).changes == ()


async def test_what_is_overdue_is_told(house: House):
    ann = await house.caller()
    await house.trashed(ann)
    house.clock.advance(timedelta(days=TRASH_DAYS, seconds=5))
    found = await house.upkeep.overdue()
    assert (found.activities, found.activities_s, found.accounts) == (1, 5.0, 0)


class TestBackgroundJobs:
    @pytest.mark.parametrize("task", Task)
    async def test_there_is_something_to_do_for_every_task(self, house: House, task: Task):
        await house.background.run(Job(task, {} if task in EVERY else {"user_id": 1}))

    def test_what_is_done_by_the_clock_keeps_nobody_waiting(self):
        assert {task for task in Task if task.queue is Queue.UPKEEP} == EVERY.keys()
        assert all(3600 % every.total_seconds() == 0 and every.total_seconds() >= 60 for every in EVERY.values())

    async def test_in_memory_they_are_worked_off_in_the_same_process(self, house: House):
        ann = await house.caller()
        await house.trashed(ann)
        house.clock.advance(MONTH)
        house.store.enqueue(Job(Task.EMPTY_TRASH))
        await InMemoryWorker(house.store, house.background, every={}).work_off()
        assert house.store.activities == {}
        assert house.store.jobs == {}

    async def test_one_that_fails_in_memory_is_kept_and_the_others_go_on(self, house: House):
        class Failing:
            async def run(self, job: Job) -> None:
                raise DatabaseUnavailable

        house.store.enqueue(Job(Task.EMPTY_TRASH))
        house.store.enqueue(Job(Task.ERASE_ACCOUNTS))
        counted: list[tuple[str, str]] = []
        observed = ObservedJobs(Failing(), lambda task, outcome, seconds: counted.append((task, outcome)))
        await InMemoryWorker(house.store, observed, every={}).work_off()
        assert [one.status for one in house.store.jobs.values()] == [JobStatus.FAILED] * 2
        assert counted == [("empty_trash", "unavailable"), ("erase_accounts", "unavailable")]
