"""The way to PostgreSQL: pooled connections, and foreign errors put into the port's words."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from fitness.ports.outages import DatabaseUnavailable

CONNECT_TIMEOUT_S = 2
CHECKOUT_TIMEOUT_S = 1.0
STATEMENT_TIMEOUT_MS = 5_000

Connection = AsyncConnection[tuple[object, ...]]

_SESSION = f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS} -c idle_in_transaction_session_timeout=10000"

# A server that is up and refuses what was asked of it is a bug of ours, not an outage; these say it is not up.
_OUTAGES = (OperationalError, InterfaceError, PoolTimeout, PoolClosed, TooManyRequests)

_log = logging.getLogger(__name__)


class Database:
    """A pool of connections, each in UTC and in autocommit: a lone statement is a transaction of its own."""

    def __init__(self, url: str, *, max_connections: int = 10) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=max_connections,
            timeout=CHECKOUT_TIMEOUT_S,
            kwargs={"autocommit": True, "connect_timeout": CONNECT_TIMEOUT_S, "options": _SESSION},
            open=False,
        )

    async def open(self) -> None:
        """Returns at once; whether the server answers shows when it is asked."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One connection for lone statements. Raises DatabaseUnavailable."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except _OUTAGES as error:
            _log.warning("PostgreSQL is unavailable: %s", error)
            raise DatabaseUnavailable("PostgreSQL does not answer") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One connection inside BEGIN … COMMIT. Raises DatabaseUnavailable."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def check(self) -> None:
        """Returns when the server answers a query. Raises DatabaseUnavailable."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")
