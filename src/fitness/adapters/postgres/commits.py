"""A transaction that ends with its caller: of what was answered with an outage nothing is committed later."""

import asyncio
from typing import TypeVar

from fitness.adapters.postgres.database import Connection, Database, Work, in_time
from fitness.ports.outages import DatabaseUnavailable

T = TypeVar("T")

COMMIT_PATIENCE_S = 2.0


class _Abandoned(Exception):
    """Rolls the transaction back; nobody waits for it any more."""


async def all_or_nothing(database: Database, work: Work[T]) -> T:
    """What `work` returns, once all that it did is committed.

    A statement that is abandoned at its deadline is carried out by the server, and alone it would be committed too. So
    COMMIT is a message of its own, which is sent only while the caller still waits. Once it is sent the caller waits
    for it, COMMIT_PATIENCE_S longer. So only where PostgreSQL falls silent over the COMMIT itself does nobody know
    whether DatabaseUnavailable means that nothing was done.
    """
    abandoned = committing = False
    committed: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def within(connection: Connection) -> T:
        nonlocal committing
        try:
            async with connection.transaction():
                result = await work(connection)
                if abandoned:  # nothing is awaited between this look and the COMMIT
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
