"""A transaction that ends with its caller: once the caller was told of an outage, nothing is committed later."""

import asyncio
from typing import TypeVar

from fitness.adapters.postgres.database import Connection, Database, Work, in_time
from fitness.ports.outages import DatabaseUnavailable

T = TypeVar("T")

COMMIT_PATIENCE_S = 2.0


class _Abandoned(Exception):
    """Rolls the transaction back; nobody waits for it any more."""


async def all_or_nothing(database: Database, work: Work[T]) -> T:
    """The result of `work`, once all its changes are committed.

    The server carries out a statement even if it is abandoned at its deadline, and would commit a lone statement too.
    So COMMIT is a separate message, which is sent only while the caller still waits. Once COMMIT is sent, the caller
    waits for it COMMIT_PATIENCE_S longer. DatabaseUnavailable therefore means that nothing was done, except if
    PostgreSQL falls silent during the COMMIT itself: then the outcome is unknown.
    """
    abandoned = committing = False
    committed: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def within(connection: Connection) -> T:
        nonlocal committing
        try:
            async with connection.transaction():
                result = await work(connection)
                if abandoned:  # nothing is awaited between this check and the COMMIT
                    raise _Abandoned
                committing = True
            committed.set_result(result)
        finally:
            if not committed.done():
                committed.cancel()
        return result

    try:
        return await database.run(within)
    except DatabaseUnavailable:
        abandoned = True
        if committing:
            await in_time(committed, COMMIT_PATIENCE_S)
            if committed.done() and not committed.cancelled():
                return committed.result()
        raise
    except asyncio.CancelledError:
        abandoned = True
        raise
