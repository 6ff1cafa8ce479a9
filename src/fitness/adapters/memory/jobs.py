"""The queue of background jobs in a dictionary, and its worker in the same process."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from fitness.adapters.memory.store import InMemoryStore, WaitingJob
from fitness.domain.model.jobs import EVERY, Job, JobStatus, KeptJob, Task
from fitness.ports.jobs import MOST_SHOWN, JobBacklog, JobRunner

POLL_S = 0.2

_log = logging.getLogger(__name__)


class InMemoryJobQueue:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def list(self, status: JobStatus | None = None) -> Sequence[KeptJob]:
        found = [_kept(one) for one in self._store.jobs.values() if status in (None, one.status)]
        return found[:MOST_SHOWN]

    async def retry(self, job_id: int) -> bool:
        return self._turned(job_id, (JobStatus.FAILED, JobStatus.CANCELLED), JobStatus.WAITING)

    async def cancel(self, job_id: int) -> bool:
        return self._turned(job_id, (JobStatus.WAITING,), JobStatus.CANCELLED)

    async def backlog(self) -> dict[str, JobBacklog]:
        found: dict[str, JobBacklog] = {}
        for one in self._store.jobs.values():
            if one.status is JobStatus.WAITING:
                before = found.get(one.job.task.queue, JobBacklog(0, 0.0))
                age_s = self._store.monotonic_s() - one.since_s
                found[one.job.task.queue] = JobBacklog(before.waiting + 1, max(before.oldest_s, age_s))
        return found

    async def forget(self, *, before: datetime) -> int:
        old = [
            one.id
            for one in self._store.jobs.values()
            if one.status in (JobStatus.FAILED, JobStatus.CANCELLED) and one.ended_at <= before
        ]
        for job_id in old:
            del self._store.jobs[job_id]
        return len(old)

    def _turned(self, job_id: int, present: Sequence[JobStatus], status: JobStatus) -> bool:
        found = self._store.jobs.get(job_id)
        if found is None or found.status not in present:
            return False
        found.status = status
        return True


class InMemoryWorker:
    def __init__(self, store: InMemoryStore, runner: JobRunner, *, every: Mapping[Task, timedelta] = EVERY) -> None:
        self._store = store
        self._runner = runner
        self._every = every
        self._next_s = dict.fromkeys(every, 0.0)

    async def work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._enqueue_by_the_clock()
            await self.work_off()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_S)

    async def work_off(self) -> None:
        """Carry out the jobs that wait now, each once."""
        for one in [one for one in self._store.jobs.values() if one.status is JobStatus.WAITING]:
            one.status = JobStatus.RUNNING
            one.attempts += 1
            try:
                await self._runner.run(one.job)
            except Exception:  # noqa: BLE001 - it is the job's outcome, and the others go on
                _log.exception("the job %s failed", one.job.task)
                one.status, one.ended_at = JobStatus.FAILED, datetime.now(UTC)
            else:
                del self._store.jobs[one.id]

    def _enqueue_by_the_clock(self) -> None:
        now_s = time.monotonic()
        for task, every in self._every.items():
            if now_s >= self._next_s[task]:
                self._next_s[task] = now_s + every.total_seconds()
                self._store.enqueue(Job(task))


def _kept(one: WaitingJob) -> KeptJob:
    return KeptJob(
        id=one.id,
        task=one.job.task,
        queue=one.job.task.queue,
        status=one.status,
        attempts=one.attempts,
        due_at=None,
        arguments=one.job.arguments,
    )
