"""The cache's state in PostgreSQL."""

import secrets

from fitness.adapters.postgres.database import Connection, Database, Row, fetch_one
from fitness.adapters.postgres.messages import scopes_text
from fitness.ports.cache import Era
from fitness.ports.cache_state import CacheState, Transition
from fitness.ports.outbox import PendingInvalidation

COLUMNS = "run_id, era, closed_at IS NOT NULL, unread, epoch"

READ = f"""
    SELECT {COLUMNS}
    FROM cache_state
"""

LOCK = f"""
    SELECT {COLUMNS}
    FROM cache_state
    FOR UPDATE
"""

# The lock comes first, so that the row is current. A process that opens the cache holds the same lock while it looks
# for unconfirmed entries: either it sees this entry, or this statement sees the cache open and closes it.
CLOSE = """
    WITH before AS (
        SELECT closed_at
        FROM cache_state
        FOR UPDATE
    ), marked AS (
        INSERT INTO cache_outbox (id, scopes, unconfirmed)
        VALUES (%(id)s, %(scopes)s, true)
        ON CONFLICT (id) DO UPDATE
        SET unconfirmed = true
    )
    UPDATE cache_state AS state
    SET closed_at = coalesce(before.closed_at, clock_timestamp()),
        epoch = state.epoch + CASE WHEN before.closed_at IS NULL THEN 1 ELSE 0 END
    FROM before
    RETURNING run_id, era, state.closed_at IS NOT NULL, unread, epoch, before.closed_at IS NULL
"""

OPEN = f"""
    UPDATE cache_state
    SET closed_at = NULL, unread = false, epoch = epoch + 1
    WHERE epoch = %(epoch)s AND closed_at IS NOT NULL AND run_id IS NOT NULL
        AND (unread OR NOT EXISTS (SELECT FROM cache_outbox WHERE unconfirmed))
    RETURNING {COLUMNS}
"""

NAME_SERVER = f"""
    UPDATE cache_state
    SET run_id = %(run_id)s,
        era = %(era)s,
        closed_at = CASE WHEN run_id IS NULL THEN NULL ELSE clock_timestamp() END,
        unread = run_id IS NOT NULL,
        epoch = epoch + 1,
        switched_at = CASE WHEN run_id IS NULL THEN switched_at ELSE clock_timestamp() END
    WHERE epoch = %(epoch)s AND run_id IS DISTINCT FROM %(run_id)s
        AND switched_at <= clock_timestamp() - interval '5 seconds'
    RETURNING {COLUMNS}
"""


class PostgresCacheState:
    """`for_leases` is a separate pool: leases are renewed even while all connections of `database` are busy."""

    def __init__(self, database: Database, for_leases: Database) -> None:
        self._database = database
        self._for_leases = for_leases

    async def read(self) -> CacheState:
        row = await self._for_leases.one(READ)
        assert row is not None
        return _state(row)

    async def close(self, unconfirmed: PendingInvalidation) -> Transition:
        parameters = {"id": unconfirmed.id, "scopes": scopes_text(unconfirmed.scopes)}
        row = await self._database.one(CLOSE, parameters)
        assert row is not None
        return Transition(_state(row), changed=bool(row[5]))

    async def open(self, *, epoch: int) -> Transition:
        async def work(connection: Connection) -> Transition:
            # Two statements: the second one begins after the lock is held, so that it sees every entry that was marked
            # before. A single statement would look for entries in a snapshot from before it waited for the lock.
            before = await fetch_one(connection, LOCK)
            after = await fetch_one(connection, OPEN, {"epoch": epoch})
            row = after or before
            assert row is not None
            return Transition(_state(row), changed=after is not None)

        return await self._database.transaction(work)

    async def name_server(self, run_id: str, *, epoch: int) -> Transition:
        # Random, not a number: a database that is restored from a backup must not reuse a name.
        parameters = {"run_id": run_id, "era": secrets.token_hex(6), "epoch": epoch}
        row = await self._database.one(NAME_SERVER, parameters)
        return Transition(await self.read() if row is None else _state(row), changed=row is not None)


def _state(row: Row) -> CacheState:
    era = None if row[0] is None else Era(row[0], row[1])
    return CacheState(era=era, closed=row[2], unread=row[3], epoch=row[4])
