"""The queue of background jobs in PostgreSQL: procrastinate's tables, changed by its own functions if there is one."""

from collections.abc import Sequence
from datetime import datetime

from fitness.adapters.postgres.database import Database, Row
from fitness.domain.model.jobs import JobStatus, KeptJob
from fitness.ports.jobs import MOST_SHOWN, JobBacklog

STATUSES = {
    "todo": JobStatus.WAITING,
    "doing": JobStatus.RUNNING,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
    "aborted": JobStatus.CANCELLED,
}
"""The statuses of jobs that are kept, by procrastinate's names."""

LIST = f"""
    SELECT id, task_name, queue_name, status::text, attempts, scheduled_at, args
    FROM procrastinate_jobs
    WHERE status::text = ANY(%(statuses)s)
    ORDER BY id
    LIMIT {MOST_SHOWN}
"""

# procrastinate_retry_job_v2 takes only failed jobs, and raises an exception for others. Attempts are counted anew:
# an operator who retries has removed the reason.
RETRY = """
    UPDATE procrastinate_jobs
    SET status = 'todo', attempts = 0, scheduled_at = NULL, abort_requested = false
    WHERE id = %(id)s AND status IN ('failed', 'cancelled', 'aborted')
    RETURNING id
"""

CANCEL = """
    SELECT procrastinate_cancel_job_v1(%(id)s, false, false)
"""

# A job with a scheduled time is due since that time, any other job since it was enqueued.
BACKLOG = """
    SELECT queue_name, count(*), extract(epoch FROM clock_timestamp() - min(coalesce(scheduled_at, (
        SELECT min(at)
        FROM procrastinate_events
        WHERE job_id = procrastinate_jobs.id
    ))))::float8
    FROM procrastinate_jobs
    WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= clock_timestamp())
    GROUP BY queue_name
"""

# The rows of events are deleted with their jobs.
FORGET = """
    DELETE FROM procrastinate_jobs
    WHERE id IN (
        SELECT id
        FROM procrastinate_jobs
        WHERE status IN ('failed', 'cancelled', 'aborted') AND NOT EXISTS (
            SELECT
            FROM procrastinate_events
            WHERE job_id = procrastinate_jobs.id AND at > %(before)s
        )
        ORDER BY id
        LIMIT 500
        FOR UPDATE SKIP LOCKED
    )
    RETURNING id
"""


class PostgresJobQueue:
    """Jobs are enqueued by the statements that `carrying` makes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, status: JobStatus | None = None) -> Sequence[KeptJob]:
        statuses = [name for name, one in STATUSES.items() if status in (None, one)]
        return [_job(row) for row in await self._database.all(LIST, {"statuses": statuses})]

    async def retry(self, job_id: int) -> bool:
        return await self._database.one(RETRY, {"id": job_id}) is not None

    async def cancel(self, job_id: int) -> bool:
        return await self._database.one(CANCEL, {"id": job_id}) != (None,)

    async def backlog(self) -> dict[str, JobBacklog]:
        return {queue: JobBacklog(count, oldest_s) for queue, count, oldest_s in await self._database.all(BACKLOG)}

    async def forget(self, *, before: datetime) -> int:
        return len(await self._database.all(FORGET, {"before": before}))


def _job(row: Row) -> KeptJob:
    return KeptJob(
        id=row[0],
        task=row[1],
        queue=row[2],
        status=STATUSES[row[3]],
        attempts=row[4],
        due_at=row[5],
        arguments=row[6],
    )
