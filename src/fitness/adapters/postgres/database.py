"""PostgreSQL: pooled connections, a deadline on every answer, and its errors translated into the port's."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, LiteralString, TypeVar

from psycopg import AsyncConnection, AsyncCursor, InterfaceError, OperationalError
from psycopg.abc import Params, QueryNoTemplate
from psycopg.conninfo import make_conninfo
from psycopg.errors import IdleInTransactionSessionTimeout, TransactionTimeout
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from fitness.adapters.postgres.session import keepalive, session_options
from fitness.foundation.tasks import SupervisedTasks, mark_retrieved
from fitness.ports.outages import DatabaseUnavailable, Overloaded

DEADLINE_S = 0.8
"""The longest wait for an answer, from when the question has a connection."""

CONNECTING = 0.9
"""The part of the deadline in which to get a connection, so that a refusal comes before the deadline."""

MAX_CONNECTIONS = 10
LEASE_CONNECTIONS = 2
CONNECTIONS_OF_A_PROCESS = MAX_CONNECTIONS + LEASE_CONNECTIONS

LEASE_DEADLINE_S = 0.4
"""Short, so that a process whose PostgreSQL hangs has asked again before its lease is over."""

MAX_WAITING = 2_000
PATIENCE_S = 5.0
"""Up to MAX_WAITING questions wait for a connection, each up to PATIENCE_S. Others are refused; PostgreSQL is up."""

LATE_S = 0.05
"""A deadline that passes later than this says nothing about PostgreSQL: the event loop was busy, and the answer may be
there, unread."""

# These errors mean that the server is not up, or that it gave up this process for being late: psycopg counts the latter
# among its internal errors. A server that refuses a statement is up, and the fault is ours.
_OUTAGES = (
    OperationalError,
    InterfaceError,
    TransactionTimeout,
    IdleInTransactionSessionTimeout,
    PoolTimeout,
    PoolClosed,
    TooManyRequests,
)

Row = tuple[Any, ...]
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Connection(AsyncConnection[Row]):
    """Executes everything on one cursor, whose results are fetched before the next statement: making a cursor costs as
    much as half of a short query.
    """

    _cursor: AsyncCursor[Row] | None = None

    async def execute(  # type: ignore[override] # without templates
        self, query: QueryNoTemplate, params: Params | None = None, *, prepare: bool | None = None, binary: bool = True
    ) -> AsyncCursor[Row]:
        if self._cursor is None:
            self._cursor = self.cursor()
        return await self._cursor.execute(query, params, prepare=prepare, binary=binary)


Work = Callable[[Connection], Awaitable[T]]


class _Worker:
    """Does one piece of work after the other in one task: a task for each would cost as much as a short query."""

    def __init__(self, run: Callable[[Work[Any]], Awaitable[Any]], tasks: SupervisedTasks) -> None:
        self._run = run
        self._given: asyncio.Future[tuple[Work[Any], asyncio.Future[Any]]] = asyncio.get_running_loop().create_future()
        tasks.start_for_all(self._work())

    def give(self, work: Work[T]) -> "asyncio.Future[T]":
        """The outcome of `work`; never cancelled. The worker takes more work once the outcome is there."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._given.set_result((work, outcome))
        return outcome

    def dismiss(self) -> None:
        self._given.cancel()

    async def _work(self) -> None:
        with suppress(asyncio.CancelledError):
            while True:
                work, outcome = await self._given
                self._given = asyncio.get_running_loop().create_future()
                try:
                    result = await self._run(work)
                except Exception as error:  # noqa: BLE001 - it is the outcome of the work, and the worker goes on
                    outcome.set_exception(error)
                except BaseException:
                    outcome.cancel()
                    raise
                else:
                    outcome.set_result(result)


class Database:
    """A pool of connections, each in UTC and in autocommit: a lone statement is a transaction of its own.

    Every method raises DatabaseUnavailable when there is no answer within `deadline_s`. The statement may still be
    carried out then: cancelling it would wait for the server that does not answer, so its task is left to end by
    itself. It keeps its connection until then, so there are never more abandoned tasks than connections in the pool.

    Waiting for one of the pool's own connections is no outage. Every method raises Overloaded when that takes too long.

    With a `deadline_s` above DEADLINE_S, the server's own limits are longer as well, by the same factor.
    """

    def __init__(self, url: str, *, max_connections: int = MAX_CONNECTIONS, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._places = asyncio.Semaphore(max_connections)
        self._idle: list[_Worker] = []
        self._waiting = 0
        self._abandoned = 0
        self._failing = self._closed = False
        times = max(1.0, deadline_s / DEADLINE_S)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            make_conninfo(url, **keepalive(times)),
            connection_class=Connection,
            min_size=1,
            max_size=max_connections,
            timeout=deadline_s * CONNECTING,
            # The pool waits ever longer between its attempts to reconnect; after 1 s the next request tries instead.
            reconnect_timeout=1.0,
            kwargs={"autocommit": True, "options": session_options(times)},
            open=False,
        )
        # Never cancelled: cancelling a query waits for the server.
        self._tasks = SupervisedTasks()
        self._checking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Returns at once; whether the server answers shows when it is asked."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        self._closed = True
        for worker in self._idle:
            worker.dismiss()
        self._idle.clear()
        await self._pool.close()

    async def one(self, query: LiteralString, parameters: Mapping[str, Any] | None = None) -> Row | None:
        """The first row."""
        return await self.run(lambda connection: fetch_one(connection, query, parameters))

    async def all(self, query: LiteralString, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Every row."""

        async def work(connection: Connection) -> list[Row]:
            return await (await connection.execute(query, parameters)).fetchall()

        return await self.run(work)

    async def transaction(self, work: Work[T]) -> T:
        """The result of `work`, once all its changes are committed."""

        async def within(connection: Connection) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self.run(within)

    async def run(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        """The result of `work`; each of its statements is a transaction of its own."""
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        await self._place()
        # If PostgreSQL did not answer lately, the wait for a connection was a wait for it: both share one deadline.
        patience_s = (deadline_s or self._deadline_s) - (loop.time() - asked_s if self._failing else 0.0)
        worker = self._idle.pop() if self._idle else _Worker(self._run, self._tasks)
        outcome = worker.give(work)
        outcome.add_done_callback(partial(self._ended, worker))
        # Not asyncio.timeout(): it would cancel the query, and psycopg then asks the server to cancel and waits for it,
        # which takes seconds if the server hangs. The work is left to end by itself: the server ends its query after
        # STATEMENT_TIMEOUT_MS.
        await in_time(outcome, max(0.0, patience_s))
        if not outcome.done():
            self._abandoned += 1
            self._failing = True
            outcome.add_done_callback(lambda _: self._ended_after_all())
            _log.warning("PostgreSQL did not answer within %s s", deadline_s or self._deadline_s)
            raise DatabaseUnavailable("PostgreSQL does not answer in time")
        return outcome.result()

    def _ended(self, worker: _Worker, outcome: "asyncio.Future[Any]") -> None:
        mark_retrieved(outcome)
        self._places.release()
        if self._closed:
            worker.dismiss()
        elif not outcome.cancelled():
            self._idle.append(worker)

    async def _place(self) -> None:
        """Wait for a connection. While abandoned statements hold some, the wait is for PostgreSQL, and an outage."""
        if not self._places.locked():
            await self._places.acquire()
            return
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} requests wait for a connection to PostgreSQL")
        self._waiting += 1
        try:
            for _ in range(max(1, round(PATIENCE_S / self._deadline_s))):
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._deadline_s * CONNECTING):
                        await self._places.acquire()
                    return
                if self._abandoned or self._failing:
                    raise DatabaseUnavailable("PostgreSQL does not answer in time")
        finally:
            self._waiting -= 1
        raise Overloaded("no connection to PostgreSQL became free in time")

    def _ended_after_all(self) -> None:
        self._abandoned -= 1

    def usage(self) -> Mapping[str, int]:
        """Connections `used` and `idle`, and requests `waiting` for one."""
        stats = self._pool.get_stats()
        idle = stats["pool_available"]
        return {"used": stats["pool_size"] - idle, "idle": idle, "waiting": self._waiting}

    async def check(self) -> None:
        """Returns when the server answers a query. Raises DatabaseUnavailable."""
        await self.one("SELECT 1")

    async def _run(self, work: Work[T]) -> T:
        try:
            async with self._pool.connection() as connection:
                result = await work(connection)
                self._failing = False
                return result
        except _OUTAGES as error:
            self._failing = True
            if not isinstance(error, PoolTimeout | PoolClosed | TooManyRequests):
                self._look_for_dead_connections()
            _log.warning("PostgreSQL is unavailable: %s", error)
            raise DatabaseUnavailable("PostgreSQL does not answer") from error

    def _look_for_dead_connections(self) -> None:
        """If one connection is dead, the idle ones may be too; a check finds them before requests do."""
        if self._checking is None or self._checking.done():
            self._checking = self._tasks.start(self._pool.check(), log_errors=False)


async def in_time(outcome: "asyncio.Future[Any]", patience_s: float) -> None:
    """Returns when there is an outcome, or `patience_s` later; a wait that ended LATE_S too late is begun anew."""
    loop = asyncio.get_running_loop()
    late = True
    while late and not outcome.done():
        due_s = loop.time() + patience_s
        waiting: asyncio.Future[None] = loop.create_future()
        over = partial(_end, waiting)
        timer = loop.call_later(patience_s, over)
        outcome.add_done_callback(over)
        try:
            await waiting
        finally:
            timer.cancel()
            outcome.remove_done_callback(over)
        late = loop.time() - due_s > LATE_S


def _end(waiting: "asyncio.Future[None]", _: object = None) -> None:
    if not waiting.done():
        waiting.set_result(None)


def lease_database(url: str) -> Database:
    return Database(url, max_connections=LEASE_CONNECTIONS, deadline_s=LEASE_DEADLINE_S)


async def fetch_one(
    connection: Connection, query: LiteralString, parameters: Mapping[str, Any] | None = None
) -> Row | None:
    return await (await connection.execute(query, parameters)).fetchone()
