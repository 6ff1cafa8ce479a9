"""Background jobs on a real PostgreSQL: the queue, what works it off, and what the jobs delete."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from procrastinate import App

from fitness.adapters.jobs import worker as working
from fitness.adapters.jobs.worker import ProcrastinateWorker
from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.changes import PostgresChangeLog
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.deletion_diagnosis import DeletionDiagnosis, JobsDiagnosis
from fitness.adapters.postgres.jobs import PostgresJobQueue
from fitness.adapters.postgres.messages import carrying, enqueued_parameters, messages_parameters
from fitness.adapters.postgres.pools import job_pool
from fitness.adapters.postgres.upkeep import PostgresUpkeepRepo
from fitness.adapters.postgres.users import PostgresUserRepo
from fitness.domain.model.activities import Activity
from fitness.domain.model.audit import Authority
from fitness.domain.model.jobs import Job, JobStatus, KeptJob, Task
from fitness.domain.model.listings import Page
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.audit import AuditLogPort
from fitness.ports.changes import ChangeLogPort
from fitness.ports.health import Verdict
from fitness.ports.jobs import FAILED_FOR_GOOD, JobQueuePort
from fitness.ports.outages import DatabaseUnavailable
from fitness.ports.upkeep import UpkeepRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages
from tests.harness.load import eventually
from tests.integration.test_postgres import InOneDatabase
from tests.patience import PATIENCE_S
from tests.unit.contracts.jobs import Enqueue, Fail, JobQueueContract
from tests.unit.contracts.upkeep import UpkeepRepoContract

CHANGE = carrying("SELECT 1 AS id", returning="id", enqueues=True)


async def enqueue(database: Database, *jobs: Job) -> None:
    """As a change does."""
    await database.all(CHANGE, enqueued_parameters(replace(messages(), jobs=jobs)))


# Of each activity one that was uploaded.
FILES = """
    WITH stored AS (
        INSERT INTO originals (user_id, object_name, media_type, size_bytes, home_timezone, made, warnings, stored_at)
        SELECT %(owner)s, 'file/' || id, 'application/gpx+xml', 1, 'UTC', 1, '{}', now()
        FROM unnest(%(ids)s::bigint[]) AS id
        RETURNING id, object_name
    )
    INSERT INTO readings (activity_id, original_id, number, details)
    SELECT substr(object_name, 6)::bigint, id, 0, '{}'
    FROM stored
    RETURNING activity_id
"""


class TestPostgresUpkeepRepo(InOneDatabase, UpkeepRepoContract):
    @pytest.fixture
    def upkeep(self, database: Database) -> UpkeepRepoPort:
        return PostgresUpkeepRepo(database)

    @pytest.fixture
    def log(self, database: Database) -> ChangeLogPort:
        return PostgresChangeLog(database)

    async def test_of_a_restore_and_the_emptying_of_the_trash_one_wins_in_2000_races(
        self,
        upkeep: UpkeepRepoPort,
        repo: ActivityRepoPort,
        users: UserRepoPort,
        audit: AuditLogPort,
        database: Database,
    ):
        """Batches of both sizes: a purge of many meets restores of each. A file goes with its activity, not without."""
        owner = await users.add(a_registration(), password_hash="-", at=NOW)
        restored = purged = 0
        for number in range(100):
            added = await repo.add_all([an_activity(user_id=owner.id) for _ in range(20)], messages=messages())
            ids = [one.id for one in added]
            await database.all(FILES, {"owner": owner.id, "ids": ids})
            into_trash = "UPDATE activities SET deleted_at = %(at)s WHERE user_id = %(owner)s AND id = ANY(%(ids)s)"
            await database.all(f"{into_trash} RETURNING id", {"at": NOW, "owner": owner.id, "ids": ids})
            authority = Authority(actor_id=None, at=NOW, reason="too old")
            purges = [
                upkeep.purge_expired(some, before=NOW, messages=messages(authority=authority))
                for some in ([ids] if number % 2 else [ids[:10], ids[10:], ids[5:15]])
            ]
            restores = [repo.restore(one, owner=owner.id, at=NOW, messages=messages()) for one in ids]
            random.shuffle(restores)
            first = random.randrange(len(restores))
            answers: list[Any] = await asyncio.gather(*restores[:first], *purges, *restores[first:])
            back = {one.id for one in answers if isinstance(one, Activity)}
            gone = [one for answer in answers if isinstance(answer, list) for one in answer]
            assert len({*gone}) == len(gone)
            assert back.isdisjoint(gone)
            left = await database.all("SELECT id, deleted_at FROM activities WHERE id = ANY(%(ids)s)", {"ids": ids})
            assert {*ids} - {activity_id for activity_id, _ in left} == {*gone}
            assert {activity_id for activity_id, deleted_at in left if deleted_at is None} == back
            restored, purged = restored + len(back), purged + len(gone)
        assert min(restored, purged) > 100  # both do win: the race is one
        assert (await audit.list(Page())).total == purged
        kept = await database.all("SELECT 'file/' || id FROM activities", {})
        assert sorted(await database.all("SELECT object_name FROM originals", {})) == sorted(kept)
        released = {name for (name,) in await database.all("SELECT object_name FROM released_objects", {})}
        assert len(released) == purged
        assert released.isdisjoint(name for (name,) in kept)


class TestPostgresJobQueue(JobQueueContract):
    @pytest.fixture
    def jobs(self, database: Database) -> JobQueuePort:
        return PostgresJobQueue(database)

    @pytest.fixture
    def enqueue(self, database: Database) -> Enqueue:
        return partial(enqueue, database)

    @pytest.fixture
    def fail(self, database: Database) -> Fail:
        async def fail(job_id: int) -> None:
            await database.all("SELECT procrastinate_finish_job_v1(%(id)s, 'failed', false)", {"id": job_id})

        return fail

    async def test_a_change_enqueues_as_the_librarys_own_function_does(self, database: Database, enqueue: Enqueue):
        await enqueue(Job(Task.EMPTY_TRASH, {"number": 7}))
        await database.all(
            """
            SELECT procrastinate_defer_jobs_v1(
                ARRAY[
                    ROW('upkeep', 'empty_trash', 0, NULL, NULL, '{"number": 7}', NULL)
                ]::procrastinate_job_to_defer_v1[]
            )
            """
        )
        ours, theirs = await database.all("SELECT to_jsonb(job) - 'id' FROM procrastinate_jobs AS job ORDER BY id")
        assert ours == theirs

    async def test_a_change_that_changes_nothing_enqueues_nothing(self, database: Database, jobs: JobQueuePort):
        change = carrying("SELECT 1 AS id WHERE false", returning="id", enqueues=True)
        await database.all(change, enqueued_parameters(replace(messages(), jobs=(Job(Task.EMPTY_TRASH),))))
        assert list(await jobs.list()) == []

    def test_jobs_are_not_lost_in_a_statement_that_does_not_enqueue(self):
        with pytest.raises(AssertionError):
            messages_parameters([replace(messages(), jobs=(Job(Task.EMPTY_TRASH),))])


class Runner:
    """Notes the jobs; begins each by what `does` says."""

    def __init__(self) -> None:
        self.begun: list[Job] = []
        self.done: list[Job] = []
        self.fails = 0
        self.hangs = 0
        self.released = asyncio.Event()

    async def run(self, job: Job) -> None:
        self.begun.append(job)
        if self.fails:
            self.fails -= 1
            raise RuntimeError("this job fails")
        if self.hangs:
            self.hangs -= 1
            await self.released.wait()
        self.done.append(job)

    async def until(self, count: int, *, of: str = "done") -> Sequence[Job]:
        found: list[Job] = getattr(self, of)

        async def enough() -> bool:
            return len(found) >= count

        await eventually(enough)
        return found


@asynccontextmanager
async def at_work(url: str, runner: Runner) -> AsyncIterator[asyncio.Task[None]]:
    """A worker, which is stopped after. The clock enqueues nothing."""
    stop = asyncio.Event()
    worker = ProcrastinateWorker(partial(job_pool, url), runner, every={})
    task = asyncio.ensure_future(worker.work(stop))
    try:
        yield task
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await task


@asynccontextmanager
async def an_app(url: str, failed: asyncio.Event) -> AsyncIterator[App]:
    """As a worker's."""
    async with job_pool(url) as pool:
        app = App(connector=working._Connector(failed))
        await app.open_async(pool)
        yield app


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def jobs(database: Database) -> JobQueuePort:
    return PostgresJobQueue(database)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead workers are noticed sooner, so that a test need not wait as long."""
    monkeypatch.setattr(working, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(working, "STALLED_S", 1.0)
    monkeypatch.setattr(working, "RESCUE_S", 0.2)
    monkeypatch.setattr(working, "GRACE_S", 0.2)
    monkeypatch.setattr(working, "POLL_S", 0.05)


async def settled(jobs: JobQueuePort) -> None:
    """Returns when nothing is left in the queue."""

    async def empty() -> bool:
        return not await jobs.list()

    await eventually(empty)


async def in_state(jobs: JobQueuePort, status: JobStatus) -> KeptJob:
    """The only job, once it is in that state."""

    async def there() -> bool:
        return len(await jobs.list(status)) == 1

    await eventually(there)
    (one,) = await jobs.list(status)
    return one


class TestProcrastinateWorker:
    async def test_it_carries_out_what_is_in_the_queue_and_keeps_nothing_of_it(
        self, database: Database, database_url: str, runner: Runner, jobs: JobQueuePort
    ):
        given = [Job(Task.EMPTY_TRASH, {"number": number}) for number in range(3)]
        await enqueue(database, *given[:2])
        async with at_work(database_url, runner):
            await enqueue(database, given[2])
            assert list(await runner.until(3)) == given
            await settled(jobs)

    async def test_a_job_that_fails_is_tried_again_later(
        self,
        database: Database,
        database_url: str,
        runner: Runner,
        jobs: JobQueuePort,
        quickly: None,
        monkeypatch: pytest.MonkeyPatch,
    ):
        monkeypatch.setattr(working, "RETRY_S", 3_600)  # not before this test has looked
        runner.fails = 1
        await enqueue(database, Job(Task.EMPTY_TRASH))
        async with at_work(database_url, runner):
            await runner.until(1, of="begun")
            one = await in_state(jobs, JobStatus.WAITING)
            assert one.attempts == 1
            assert one.due_at is not None
            await database.all("UPDATE procrastinate_jobs SET scheduled_at = NULL RETURNING id")
            await runner.until(1)

    async def test_a_job_that_failed_for_good_is_left_to_an_operator(
        self, database: Database, database_url: str, runner: Runner, jobs: JobQueuePort, quickly: None
    ):
        runner.fails = 1
        await enqueue(database, Job(Task.EMPTY_TRASH))
        attempts = {"attempts": FAILED_FOR_GOOD - 1}
        await database.all("UPDATE procrastinate_jobs SET attempts = %(attempts)s RETURNING id", attempts)
        async with at_work(database_url, runner):
            await runner.until(1, of="begun")
            assert await jobs.retry((await in_state(jobs, JobStatus.FAILED)).id)
            await runner.until(1)

    async def test_a_job_of_a_worker_that_died_is_carried_out_by_another(
        self, database: Database, database_url: str, runner: Runner, jobs: JobQueuePort, quickly: None
    ):
        await enqueue(database, Job(Task.EMPTY_TRASH))
        ((dead,),) = await database.all("SELECT * FROM procrastinate_register_worker_v1()")
        fetch = "SELECT id FROM procrastinate_fetch_job_v2(NULL, %(worker)s)"
        assert await database.one(fetch, {"worker": dead}) != (None,)
        async with at_work(database_url, runner):
            await runner.until(1)
            await settled(jobs)

    async def test_a_job_that_kills_its_workers_is_not_tried_for_ever(
        self, database: Database, database_url: str, runner: Runner, jobs: JobQueuePort, quickly: None
    ):
        await enqueue(database, Job(Task.EMPTY_TRASH))
        dying = "UPDATE procrastinate_jobs SET status = 'doing', attempts = %(attempts)s RETURNING id"
        await database.all(dying, {"attempts": FAILED_FOR_GOOD - 1})
        async with at_work(database_url, runner):
            await in_state(jobs, JobStatus.FAILED)
        assert runner.begun == []

    async def test_it_goes_on_when_a_job_that_it_carried_out_had_been_given_away(
        self,
        database: Database,
        database_url: str,
        runner: Runner,
        jobs: JobQueuePort,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ):
        """As after a pause in which its heartbeat was missed, and another worker did the job."""
        monkeypatch.setattr(working, "STALLED_S", PATIENCE_S)  # no worker dies here
        runner.hangs = 1
        await enqueue(database, Job(Task.EXPORT, {"user_id": 1}))
        async with at_work(database_url, runner):
            await runner.until(1, of="begun")
            await database.all("DELETE FROM procrastinate_jobs RETURNING id")
            runner.released.set()
            await enqueue(database, Job(Task.EXPORT, {"user_id": 2}))
            await runner.until(2)
            await settled(jobs)
        assert caplog.messages == []

    async def test_two_that_find_the_same_jobs_of_a_dead_worker_do_not_disturb_each_other(
        self, database: Database, database_url: str
    ):
        await enqueue(database, *(Job(Task.EXPORT, {"user_id": number}) for number in range(40)))
        await database.all("UPDATE procrastinate_jobs SET status = 'doing' RETURNING id")
        failed = asyncio.Event()
        async with AsyncExitStack() as opened:
            apps = [await opened.enter_async_context(an_app(database_url, failed)) for _ in range(2)]
            await asyncio.gather(*(working.rescue(app) for app in apps))
        assert not failed.is_set()
        kept = await database.all("SELECT DISTINCT status::text, attempts FROM procrastinate_jobs")
        assert kept == [("todo", 1)]

    async def test_a_stopped_worker_gives_a_job_that_hangs_back(
        self, database: Database, database_url: str, runner: Runner, jobs: JobQueuePort, quickly: None
    ):
        runner.hangs = 1
        await enqueue(database, Job(Task.EMPTY_TRASH))
        async with at_work(database_url, runner):
            await runner.until(1, of="begun")
        assert [one.status for one in await jobs.list()] == [JobStatus.WAITING]
        async with at_work(database_url, runner):
            await runner.until(1)

    async def test_it_ends_at_whatever_moment_of_its_beginning_it_is_stopped(
        self, database_url: str, runner: Runner, caplog: pytest.LogCaptureFixture
    ):
        for moment in range(60):
            async with at_work(database_url, runner):
                await asyncio.sleep(moment / 1_000)
        assert [one.message for one in caplog.records if one.name == working.__name__] == []  # none was abandoned

    async def test_it_begins_anew_when_its_connections_are_dropped(
        self, database: Database, database_url: str, owner_url: str, runner: Runner, jobs: JobQueuePort, quickly: None
    ):
        async with at_work(database_url, runner):
            await enqueue(database, Job(Task.EMPTY_TRASH))
            await runner.until(1)
            for _ in range(3):
                _drop_connections(owner_url)
                await asyncio.sleep(0.1)
            given = Job(Task.EMPTY_TRASH, {"number": 2})

            async def enqueued() -> bool:
                with suppress(DatabaseUnavailable):  # the test's own connections were dropped, too
                    await enqueue(database, given)
                    return True
                return False

            await eventually(enqueued)
            await runner.until(2)
            await settled(jobs)

    async def test_a_job_is_not_lost_whose_end_could_not_be_told(
        self, database: Database, database_url: str, owner_url: str, runner: Runner, jobs: JobQueuePort, quickly: None
    ):
        """The next run of the worker has another name, so the job counts as stalled, although the process lives."""
        runner.hangs = 1
        await enqueue(database, Job(Task.EMPTY_TRASH))
        finish = "ALTER FUNCTION procrastinate_finish_job_v1 RENAME TO procrastinate_finish_job_gone"
        with psycopg.connect(owner_url, autocommit=True) as connection:
            async with at_work(database_url, runner):
                await runner.until(1, of="begun")
                connection.execute(finish)
                runner.released.set()
                await runner.until(2)
                connection.execute("ALTER FUNCTION procrastinate_finish_job_gone RENAME TO procrastinate_finish_job_v1")
                await settled(jobs)


class TestDiagnoses:
    async def test_nothing_is_overdue_and_no_job_waits(self, database_url: str):
        deletion = DeletionDiagnosis(database_url, trashed=NOW, departed=NOW)
        for diagnosis in (deletion, JobsDiagnosis(database_url)):
            assert [one.verdict for one in await diagnosis.diagnose()] == [Verdict.GOOD]

    async def test_what_is_overdue_is_counted_and_wrong_after_six_hours(self, database: Database, database_url: str):
        repo, users = PostgresActivityRepo(database), PostgresUserRepo(database)
        owner = await users.add(a_registration(), password_hash="-", at=NOW)
        for _ in range(2):
            one = (await repo.add(an_activity(user_id=owner.id), messages=messages())).activity
            await repo.soft_delete(one.id, owner=owner.id, at=NOW, messages=messages())
        await users.soft_delete(owner.id, before="-", at=NOW, messages=messages())
        at = {"trashed": NOW + timedelta(hours=1), "departed": NOW + timedelta(hours=7)}
        activities, accounts = await DeletionDiagnosis(database_url, **at).diagnose()
        assert activities.verdict is Verdict.DOUBTFUL
        assert activities.message.startswith("2 activities should have been deleted for good, the oldest 1:00:00 ago")
        assert accounts.verdict is Verdict.WRONG
        assert accounts.message.startswith("1 accounts should have been deleted for good, the oldest 7:00:00 ago")

    async def test_jobs_that_wait_for_long_and_failed_ones_are_told(self, database: Database, database_url: str):
        await enqueue(database, Job(Task.EMPTY_TRASH), Job(Task.EMPTY_TRASH))
        await database.all("UPDATE procrastinate_events SET at = at - interval '1 hour' RETURNING id")
        await database.all("SELECT procrastinate_finish_job_v1(min(id), 'failed', false) FROM procrastinate_jobs")
        waiting, failed = await JobsDiagnosis(database_url).diagnose()
        assert (waiting.verdict, failed.verdict) == (Verdict.WRONG, Verdict.DOUBTFUL)
        assert re.match(r"1 jobs of upkeep wait, one for 1:0\d:\d\d", waiting.message)
        assert failed.message.startswith("1 jobs have failed")


def _drop_connections(owner_url: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(
            """
            SELECT count(pg_terminate_backend(pid))
            FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
            """
        )
