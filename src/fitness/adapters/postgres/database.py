"""PostgreSQL: pooled connections, a deadline on every answer, and its errors translated into the port's."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, LiteralString, TypeVar

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from fitness.foundation.tasks import SupervisedTasks
from fitness.ports.outages import DatabaseUnavailable

DEADLINE_S = 0.8
"""For getting a connection and for the answer, together."""

MAX_CONNECTIONS = 10
"""Of one process; see the settings for how many processes there are."""

CONNECT_TIMEOUT_S = 2
"""The least that libpq accepts."""

# A query that is abandoned at the deadline is ended by the server after this, so that its connection is free again.
STATEMENT_TIMEOUT_MS = 1_500

_SESSION = f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS} -c idle_in_transaction_session_timeout=5000"

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

    Every method raises DatabaseUnavailable when there is no answer within DEADLINE_S. The statement may still be
    carried out then: cancelling it would wait for the server that does not answer, so its task is left to end by
    itself. It keeps its connection until then, so there are never more abandoned tasks than connections in the pool.
    """

    def __init__(self, url: str, *, max_connections: int = MAX_CONNECTIONS) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            make_conninfo(url, **_KEEPALIVE),
            min_size=1,
            max_size=max_connections,
            timeout=DEADLINE_S * 0.9,
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
        # Not asyncio.timeout(): it would cancel the query, and psycopg then asks the server to cancel and waits for it,
        # which takes seconds if the server hangs. `wait` leaves the task alone. The server ends its query after
        # STATEMENT_TIMEOUT_MS, and `_tasks` marks what an abandoned task raises as retrieved.
        task = self._tasks.start(self._run(work), log_errors=False)
        done, _ = await asyncio.wait({task}, timeout=DEADLINE_S)
        if not done:
            _log.warning("PostgreSQL did not answer within %s s", DEADLINE_S)
            raise DatabaseUnavailable("PostgreSQL does not answer in time")
        return task.result()

    def usage(self) -> Mapping[str, int]:
        """Connections `used` and `idle`, and requests `waiting` for one."""
        stats = self._pool.get_stats()
        idle = stats["pool_available"]
        return {"used": stats["pool_size"] - idle, "idle": idle, "waiting": stats["requests_waiting"]}

    async def check(self) -> None:
        """Returns when the server answers a query. Raises DatabaseUnavailable."""
        await self.one("SELECT 1")

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with self._pool.connection() as connection:
                return await work(connection)
        except _OUTAGES as error:
            if not isinstance(error, PoolTimeout | PoolClosed | TooManyRequests):
                self._look_for_dead_connections()
            _log.warning("PostgreSQL is unavailable: %s", error)
            raise DatabaseUnavailable("PostgreSQL does not answer") from error

    def _look_for_dead_connections(self) -> None:
        """Where one connection is dead the idle ones may be too; a check finds them before requests do."""
        if self._checking is None or self._checking.done():
            self._checking = self._tasks.start(self._pool.check(), log_errors=False)


async def fetch_one(
    connection: Connection, query: LiteralString, parameters: Mapping[str, Any] | None = None
) -> Row | None:
    return await (await connection.execute(query, parameters)).fetchone()
