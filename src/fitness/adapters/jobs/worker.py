"""Runs the jobs of the queue with procrastinate, and starts it anew after any failure of a connection to PostgreSQL.

Three things are our own. The jobs of a worker that died are given back to the queue, which procrastinate leaves to its
users. After an error of its connector, procrastinate either stops or goes on with jobs whose end it cannot report: here
each run ends with its first error, and the next run has another worker id, so that the jobs of the run before count as
stalled. And procrastinate's shutdown, which can hang on a half-open connection, has a deadline.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import Any

from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job as QueuedJob
from procrastinate.jobs import Status
from procrastinate.worker import Worker
from psycopg import AsyncConnection
from psycopg.errors import RaiseException
from psycopg_pool import AsyncConnectionPool

from fitness.domain.model.jobs import EVERY, Job, Queue, Task
from fitness.ports.jobs import FAILED_FOR_GOOD, JobRunner

AT_ONCE: Mapping[Queue, int] = {Queue.PROMPT: 2, Queue.UPKEEP: 1}
"""Jobs of each queue that run at the same time in one process."""

POLL_S = 0.5
"""The pause between two looks at an empty queue. LISTEN is not used: its connection is what makes shutdowns hang, and a
pooler in transaction mode does not offer one."""

HEARTBEAT_S = 1.0
RETRY_S = 2
"""The pause before a job that failed is tried again, the first time."""

STALLED_S = 6.0
"""A job whose worker has sent no heartbeat for so long is given back to the queue."""

RESCUE_S = 1.0
"""The pause between two searches for stalled jobs."""

GRACE_S = 8.0
"""The time that running jobs have once the worker is told to stop; then they are cancelled, and the next worker tries
them again."""

SHUTDOWN_S = 12.0
"""The time that procrastinate has to stop; then it is abandoned, and the process is to end."""

BEGIN_ANEW_S = 0.5
"""The pause after a run that failed."""

Pool = AsyncConnectionPool[AsyncConnection[Any]]

_log = logging.getLogger(__name__)

logging.getLogger("procrastinate").setLevel(logging.CRITICAL)  # several lines a job; this module logs what matters


class ProcrastinateWorker:
    """`runner` carries out the jobs; `pool_of` makes a pool that is not open yet."""

    def __init__(self, pool_of: Callable[[], Pool], runner: JobRunner, *, every: Mapping[Task, timedelta] = EVERY):
        self._pool_of = pool_of
        self._runner = runner
        self._every = every

    async def work(self, stop: asyncio.Event) -> None:
        """Returns once `stop` is set and the running jobs have ended, at the latest after SHUTDOWN_S."""
        while not stop.is_set():
            try:
                await self._run(stop)
            except ConnectorException as error:
                _log.warning("the job worker lost PostgreSQL (%s), and begins anew", error.__cause__ or error)
            if not stop.is_set():
                await _set_or_late([stop], BEGIN_ANEW_S)

    async def _run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set or a query of PostgreSQL fails. Raises ConnectorException."""
        failed = asyncio.Event()
        async with _open(self._pool_of()) as pool:
            connector = _Connector(failed)
            app = self._app(connector)
            await app.open_async(pool)
            workers, over = [_worker_of(app, queue, count) for queue, count in AT_ONCE.items()], asyncio.Event()
            working = [asyncio.ensure_future(worker.run()) for worker in workers]  # type: ignore[no-untyped-call]
            working.append(asyncio.ensure_future(_rescue_until(over, app)))
            ends = [asyncio.ensure_future(event.wait()) for event in (stop, failed)]
            await asyncio.wait([*working, *ends], return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            # Not cancelled: a worker that has just begun loses a cancellation in its first query, and works on.
            over.set()
            for worker in workers:
                worker.stop()  # type: ignore[no-untyped-call]
            _, hanging = await asyncio.wait(working, timeout=SHUTDOWN_S)
            for task in hanging:
                task.cancel()
            for task in working:
                if task not in hanging and not task.cancelled() and (error := task.exception()) is not None:
                    _log.debug("a task of the job worker ended: %r", error)
            if hanging:
                _log.error("the job worker did not stop within %s s, and is abandoned", SHUTDOWN_S)

    def _app(self, connector: "_Connector") -> App:
        app = App(connector=connector)
        for task in Task:
            periodic = task in self._every
            work = self._carried_out(task)
            options: dict[str, Any] = {"name": str(task), "queue": str(task.queue)}
            # A periodic job is not tried again: its next turn comes anyway. One of each at a time is enough.
            options |= {"lock": str(task)} if periodic else {"retry": _Retries()}
            registered = app.task(**options)(work)
            if periodic:
                app.periodic(cron=_cron(self._every[task]))(registered)
        return app

    def _carried_out(self, task: Task) -> Callable[..., Any]:
        async def carried_out(**arguments: int) -> None:
            given = {name: value for name, value in arguments.items() if name != "timestamp"}  # of periodic jobs
            try:
                await self._runner.run(Job(task, given))
            except Exception:
                _log.exception("the job %s%s failed", task, given or "")
                raise

        return carried_out


class _Connector(PsycopgConnector):
    """Sets `failed` at the first error, which ends this run of the worker.

    An exception that the queue's own SQL functions raise is not such an error: the job to be retried or finished
    belongs to another worker by now, or another worker has carried it out.
    """

    def __init__(self, failed: asyncio.Event) -> None:
        super().__init__()
        self._failed = failed

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        # An error raised here would end a task of procrastinate whose exception nobody looks at.
        with suppress(ConnectorException), self._noted():
            await super().execute_query_async(query, **arguments)

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        with self._noted():
            row: dict[str, Any] = await super().execute_query_one_async(query, **arguments)
            return row

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        with self._noted():
            rows: list[dict[str, Any]] = await super().execute_query_all_async(query, **arguments)
            return rows

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except ConnectorException as error:
            if not isinstance(error.__cause__, RaiseException):
                if not self._failed.is_set():
                    _log.warning("the job worker's PostgreSQL failed: %s", error.__cause__ or error)
                self._failed.set()
            raise


class _Retries(BaseRetryStrategy):
    """Retries after RETRY_S, then after twice as long each time, FAILED_FOR_GOOD attempts in all; at once if the worker
    ended during the job.
    """

    def get_retry_decision(self, *, exception: BaseException, job: QueuedJob) -> RetryDecision | None:
        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        if job.attempts + 1 >= FAILED_FOR_GOOD:
            return None
        return RetryDecision(retry_in={"seconds": RETRY_S * 2**job.attempts})


def _worker_of(app: App, queue: Queue, at_once: int) -> Worker:
    return Worker(
        app,
        queues=[str(queue)],
        name=str(queue),
        concurrency=at_once,
        fetch_job_polling_interval=POLL_S,
        abort_job_polling_interval=POLL_S,
        shutdown_graceful_timeout=GRACE_S,
        listen_notify=False,
        delete_jobs="successful",
        install_signal_handlers=False,
        update_heartbeat_interval=HEARTBEAT_S,
        stalled_worker_timeout=STALLED_S,
    )


async def _rescue_until(over: asyncio.Event, app: App) -> None:
    while not over.is_set():
        await _set_or_late([over], RESCUE_S)
        if not over.is_set():
            await rescue(app)


async def rescue(app: App) -> None:
    """Give the jobs of dead workers back to the queue; a job that was given back too often is marked as failed."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
        _log.warning("the worker of job %s (%s) died, and it is tried again", job.id, job.task_name)
        if job.attempts + 1 >= FAILED_FOR_GOOD:
            await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=False)
        else:
            await app.job_manager.retry_job(job)


def _cron(every: timedelta) -> str:
    minutes = int(every.total_seconds()) // 60
    return f"*/{minutes} * * * *" if minutes < 60 else "0 * * * *"


@asynccontextmanager
async def _open(pool: Pool) -> AsyncIterator[Pool]:
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close(timeout=1.0)


async def _set_or_late(events: list[asyncio.Event], patience_s: float) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()
