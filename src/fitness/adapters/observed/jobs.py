"""Background jobs, counted and timed."""

import asyncio
import time
from collections.abc import Callable

from fitness.domain.model.jobs import Job
from fitness.ports.jobs import JobRunner
from fitness.ports.outages import Outage

Record = Callable[[str, str, float], None]
"""Takes the task, the outcome and the seconds."""


class ObservedJobs:
    """The outcome is `succeeded`, `failed`, `unavailable` where a store did not answer, or `interrupted` where the
    worker had to end."""

    def __init__(self, runner: JobRunner, record: Record) -> None:
        self._runner = runner
        self._record = record

    async def run(self, job: Job) -> None:
        began_s, outcome = time.perf_counter(), "failed"
        try:
            await self._runner.run(job)
            outcome = "succeeded"
        except Outage:
            outcome = "unavailable"
            raise
        except asyncio.CancelledError:
            outcome = "interrupted"
            raise
        finally:
            self._record(job.task, outcome, time.perf_counter() - began_s)
