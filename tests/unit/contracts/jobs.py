"""What every JobQueuePort promises."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from fitness.domain.model.jobs import Job, JobStatus, Queue, Task
from fitness.ports.jobs import JobQueuePort

UNKNOWN_ID = 2**40

Enqueue = Callable[[Job], Awaitable[None]]
Fail = Callable[[int], Awaitable[None]]


class JobQueueContract:
    """An implementation's class gives the fixtures `jobs`; `enqueue`, which enqueues a job; and `fail`, which makes a
    job fail."""

    async def test_jobs_are_listed_in_their_order(self, jobs: JobQueuePort, enqueue: Enqueue):
        for task in (Task.ERASE_ACCOUNTS, Task.EMPTY_TRASH):
            await enqueue(Job(task, {"number": 7}))
        first, second = await jobs.list()
        assert (first.task, second.task) == (Task.ERASE_ACCOUNTS, Task.EMPTY_TRASH)
        assert (first.status, first.queue, first.attempts, first.due_at) == (JobStatus.WAITING, Queue.UPKEEP, 0, None)
        assert first.arguments == {"number": 7}
        assert first.id < second.id

    async def test_a_cancelled_job_waits_no_more_until_it_is_retried(self, jobs: JobQueuePort, enqueue: Enqueue):
        await enqueue(Job(Task.EMPTY_TRASH))
        (one,) = await jobs.list()
        assert not await jobs.retry(one.id)
        assert await jobs.cancel(one.id)
        assert not await jobs.cancel(one.id)
        assert [kept.status for kept in await jobs.list()] == [JobStatus.CANCELLED]
        assert await jobs.list(JobStatus.WAITING) == []
        assert await jobs.backlog() == {}
        assert await jobs.retry(one.id)
        assert [kept.status for kept in await jobs.list()] == [JobStatus.WAITING]

    async def test_a_failed_job_is_retried(self, jobs: JobQueuePort, enqueue: Enqueue, fail: Fail):
        await enqueue(Job(Task.EMPTY_TRASH))
        (one,) = await jobs.list()
        await fail(one.id)
        assert [kept.id for kept in await jobs.list(JobStatus.FAILED)] == [one.id]
        assert not await jobs.cancel(one.id)
        assert await jobs.retry(one.id)
        assert [kept.id for kept in await jobs.list(JobStatus.WAITING)] == [one.id]

    async def test_unknown_jobs_are_neither_retried_nor_cancelled(self, jobs: JobQueuePort):
        assert not await jobs.retry(UNKNOWN_ID)
        assert not await jobs.cancel(UNKNOWN_ID)

    async def test_the_backlog_counts_what_waits_in_each_queue(self, jobs: JobQueuePort, enqueue: Enqueue):
        assert await jobs.backlog() == {}
        for _ in range(2):
            await enqueue(Job(Task.EMPTY_TRASH))
        found = await jobs.backlog()
        assert found[Queue.UPKEEP].waiting == 2
        assert 0 <= found[Queue.UPKEEP].oldest_s < 10

    async def test_old_failures_are_forgotten_and_what_waits_is_kept(
        self, jobs: JobQueuePort, enqueue: Enqueue, fail: Fail
    ):
        for _ in range(3):
            await enqueue(Job(Task.EMPTY_TRASH))
        failed, cancelled, waiting = [one.id for one in await jobs.list()]
        await fail(failed)
        await jobs.cancel(cancelled)
        assert await jobs.forget(before=datetime.now(UTC) - timedelta(hours=1)) == 0
        assert await jobs.forget(before=datetime.now(UTC) + timedelta(hours=1)) == 2
        assert [one.id for one in await jobs.list()] == [waiting]
