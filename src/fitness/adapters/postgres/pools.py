"""Connections for procrastinate, which runs the jobs; they are set up as the service's own."""

from typing import Any

from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from fitness.adapters.postgres.database import CONNECTIONS_OF_A_PROCESS
from fitness.adapters.postgres.session import keepalive, session_options

JOB_CONNECTIONS = 4
CONNECTIONS_OF_A_WORKER = CONNECTIONS_OF_A_PROCESS + JOB_CONNECTIONS

PATIENCE_S = 3.0
"""The longest wait for a connection; the caller then begins anew."""


def job_pool(url: str) -> AsyncConnectionPool[AsyncConnection[Any]]:
    """A pool that is not open yet."""
    return AsyncConnectionPool(
        make_conninfo(url, **keepalive()),
        connection_class=AsyncConnection[Any],
        min_size=1,
        max_size=JOB_CONNECTIONS,
        timeout=PATIENCE_S,
        reconnect_timeout=PATIENCE_S,
        check=AsyncConnectionPool.check_connection,
        kwargs={"autocommit": True, "options": session_options()},
        open=False,
    )
