"""The queue of background jobs, as operators and metrics see it. A job is enqueued by the change that carries it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fitness.domain.model.jobs import Job, JobStatus, KeptJob

MOST_SHOWN = 1_000

FAILED_FOR_GOOD = 10
"""After so many attempts a job is no longer tried by itself."""


@dataclass(frozen=True, slots=True)
class JobBacklog:
    """Of one queue."""

    waiting: int
    oldest_s: float
    """For how long the one that waits longest has been due; 0 where none is."""


class JobQueuePort(Protocol):
    """A change's `messages` hold jobs, which are in the queue once it is committed. Raises DatabaseUnavailable."""

    async def list(self, status: JobStatus | None = None) -> Sequence[KeptJob]:
        """In the order in which they were enqueued; at most MOST_SHOWN."""

    async def retry(self, job_id: int) -> bool:
        """Have a failed or cancelled job carried out again; whether there is one."""

    async def cancel(self, job_id: int) -> bool:
        """Take a waiting job out of its turn; whether there is one. One that runs goes on."""

    async def backlog(self) -> dict[str, JobBacklog]:
        """By queue, for each that there is; jobs that are not due yet do not wait."""

    async def forget(self, *, before: datetime) -> int:
        """Delete some of the failed and cancelled jobs that nothing happened to since then; how many."""


class JobRunner(Protocol):
    """Carries out jobs."""

    async def run(self, job: Job) -> None:
        """Returns when the job is done. Whatever it raises, the job is tried again."""
