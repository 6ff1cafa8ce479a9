"""The queue of background jobs, as operators and metrics see it. A job is enqueued by the change that carries it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fitness.domain.model.jobs import Job, JobStatus, KeptJob

MOST_SHOWN = 1_000

FAILED_FOR_GOOD = 10
"""After this many attempts a job is no longer retried automatically."""


@dataclass(frozen=True, slots=True)
class JobBacklog:
    """The backlog of one queue."""

    waiting: int
    oldest_s: float
    """Seconds for which the job that waits longest has been due; 0 if none waits."""


class JobQueuePort(Protocol):
    """The `messages` of a change carry jobs, which are in the queue once the change is committed. Every method raises
    DatabaseUnavailable.
    """

    async def list(self, status: JobStatus | None = None) -> Sequence[KeptJob]:
        """The jobs in the order in which they were enqueued; at most MOST_SHOWN."""

    async def retry(self, job_id: int) -> bool:
        """Have a failed or cancelled job carried out again. False if there is no such job."""

    async def cancel(self, job_id: int) -> bool:
        """Cancel a waiting job. False if there is no such job. A job that runs goes on."""

    async def backlog(self) -> dict[str, JobBacklog]:
        """The backlog of each queue that has one, by the queue's name. Jobs that are not due yet do not count."""

    async def forget(self, *, before: datetime) -> int:
        """Delete some of the failed and cancelled jobs that nothing happened to since that time. Returns how many."""


class JobRunner(Protocol):
    """Carries out jobs."""

    async def run(self, job: Job) -> None:
        """Returns when the job is done. Whatever it raises, the job is tried again."""
