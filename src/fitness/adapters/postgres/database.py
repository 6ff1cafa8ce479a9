"""PostgreSQL: pooled connections, a deadline on every answer, and its errors translated into the port's."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, LiteralString, TypeVar

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from fitness.foundation.tasks import SupervisedTasks
from fitness.ports.outages import DatabaseUnavailable, Overloaded

DEADLINE_S = 0.8
"""For an answer, from when there is a connection for the question."""

CONNECTING = 0.9
"""Of the deadline, for a connection; so that its refusal comes before the deadline."""

MAX_CONNECTIONS = 10
LEASE_CONNECTIONS = 2
CONNECTIONS_OF_A_PROCESS = MAX_CONNECTIONS + LEASE_CONNECTIONS

LEASE_DEADLINE_S = 0.4
"""Short, so that a process whose PostgreSQL hangs has asked again before its lease is over."""

MAX_WAITING = 2_000
PATIENCE_S = 5.0
"""So many questions may wait for a connection, and so long. Beyond that they are refused; PostgreSQL is well."""

LATE_S = 0.05
"""A deadline that comes later than this says nothing about PostgreSQL: the event loop was busy, and the answer may be
there, unread."""

CONNECT_TIMEOUT_S = 2
"""The least that libpq accepts."""

# A query that is abandoned at the deadline is ended by the server after this, so that its connection is free again.
STATEMENT_TIMEOUT_MS = 1_500

# Every query here takes milliseconds: compiling one, or starting processes for it, takes longer than it saves.
_SESSION = (
    f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS} -c idle_in_transaction_session_timeout=5000"
    " -c jit=off -c max_parallel_workers_per_gather=0"
)

# A server that vanished without closing its connections is noticed after about five seconds.
_KEEPALIVE = {
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
    "connect_timeout": CONNECT_TIMEOUT_S,
}

# These say that the server is not up. A server that refuses a statement is up, and the fault is ours.
_OUTAGES = (OperationalError, InterfaceError, PoolTimeout, PoolClosed, TooManyRequests)

Connection = AsyncConnection[tuple[Any, ...]]
Row = tuple[Any, ...]
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Database:
    """A pool of connections, each in UTC and in autocommit: a lone statement is a transaction of its own.

    Every method raises DatabaseUnavailable when there is no answer within `deadline_s`. The statement may still be
    carried out then: cancelling it would wait for the server that does not answer, so its task is left to end by
    itself. It keeps its connection until then, so there are never more abandoned tasks than connections in the pool.

    Waiting for one of the pool's own connections is no outage. Every method raises Overloaded when that takes too long.
    """

    def __init__(self, url: str, *, max_connections: int = MAX_CONNECTIONS, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._places = asyncio.Semaphore(max_connections)
        self._waiting = 0
        self._abandoned = 0
        self._failing = False
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            make_conninfo(url, **_KEEPALIVE),
            min_size=1,
            max_size=max_connections,
            timeout=deadline_s * CONNECTING,
            # The pool waits ever longer between its attempts to reconnect; after 1 s the next request tries instead.
            reconnect_timeout=1.0,
            kwargs={"autocommit": True, "options": _SESSION},
            open=False,
        )
        # Never cancelled: cancelling a query waits for the server.
        self._tasks = SupervisedTasks()
        self._checking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Returns at once; whether the server answers shows when it is asked."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    async def one(self, query: LiteralString, parameters: Mapping[str, Any] | None = None) -> Row | None:
        """The first row."""
        return await self.run(lambda connection: fetch_one(connection, query, parameters))

    async def all(self, query: LiteralString, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Every row."""

        async def work(connection: Connection) -> list[Row]:
            return await (await connection.execute(query, parameters)).fetchall()

        return await self.run(work)

    async def transaction(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work` returns, once all that it did is committed."""

        async def within(connection: Connection) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self.run(within)

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work` returns, each of its statements a transaction of its own."""
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        await self._place()
        # Where PostgreSQL did not answer lately, it is what the wait for a connection was for: both are one deadline.
        patience_s = self._deadline_s - (loop.time() - asked_s if self._failing else 0.0)
        # Not asyncio.timeout(): it would cancel the query, and psycopg then asks the server to cancel and waits for it,
        # which takes seconds if the server hangs. `wait` leaves the task alone. The server ends its query after
        # STATEMENT_TIMEOUT_MS, and `_tasks` marks what an abandoned task raises as retrieved.
        task = self._tasks.start(self._run(work), log_errors=False)
        task.add_done_callback(lambda _: self._places.release())
        if not await self._in_time(task, max(0.0, patience_s)):
            self._abandoned += 1
            self._failing = True
            task.add_done_callback(self._ended_after_all)
            _log.warning("PostgreSQL did not answer within %s s", self._deadline_s)
            raise DatabaseUnavailable("PostgreSQL does not answer in time")
        return task.result()

    async def _place(self) -> None:
        """Wait for a connection. While abandoned statements hold some, it is PostgreSQL that keeps us waiting."""
        if not self._places.locked():
            await self._places.acquire()
            return
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} requests wait for a connection to PostgreSQL")
        self._waiting += 1
        try:
            for _ in range(round(PATIENCE_S / self._deadline_s)):
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._deadline_s * CONNECTING):
                        await self._places.acquire()
                    return
                if self._abandoned or self._failing:
                    raise DatabaseUnavailable("PostgreSQL does not answer in time")
        finally:
            self._waiting -= 1
        raise Overloaded("no connection to PostgreSQL became free in time")

    async def _in_time(self, task: asyncio.Task[Any], patience_s: float) -> bool:
        loop = asyncio.get_running_loop()
        late = True
        while late and not task.done():
            due_s = loop.time() + patience_s
            await asyncio.wait({task}, timeout=patience_s)
            late = loop.time() - due_s > LATE_S
        return task.done()

    def _ended_after_all(self, _: asyncio.Task[Any]) -> None:
        self._abandoned -= 1

    def usage(self) -> Mapping[str, int]:
        """Connections `used` and `idle`, and requests `waiting` for one."""
        stats = self._pool.get_stats()
        idle = stats["pool_available"]
        return {"used": stats["pool_size"] - idle, "idle": idle, "waiting": self._waiting}

    async def check(self) -> None:
        """Returns when the server answers a query. Raises DatabaseUnavailable."""
        await self.one("SELECT 1")

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
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
        """Where one connection is dead the idle ones may be too; a check finds them before requests do."""
        if self._checking is None or self._checking.done():
            self._checking = self._tasks.start(self._pool.check(), log_errors=False)


def lease_database(url: str) -> Database:
    return Database(url, max_connections=LEASE_CONNECTIONS, deadline_s=LEASE_DEADLINE_S)


async def fetch_one(
    connection: Connection, query: LiteralString, parameters: Mapping[str, Any] | None = None
) -> Row | None:
    return await (await connection.execute(query, parameters)).fetchone()
