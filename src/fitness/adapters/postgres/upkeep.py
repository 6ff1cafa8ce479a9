"""Deletes expired activities, accounts and idempotency keys for good, in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString

from fitness.adapters.postgres.database import Connection, Database, fetch_one
from fitness.adapters.postgres.messages import audit_parameters, carrying, messages_parameters
from fitness.domain.model.audit import AuditAction
from fitness.domain.model.changes import ChangeKind
from fitness.ports.messages import Messages
from fitness.ports.upkeep import MOST_COUNTED, Departed, Doomed, Overdue

EXPIRED = """
    SELECT id, user_id
    FROM activities
    WHERE deleted_at <= %(before)s
    ORDER BY deleted_at, id
    LIMIT %(most)s
"""

_PAST_ITS_TIME = "deleted_at <= %(before)s"

_OF_DEPARTED = """EXISTS (
        SELECT
        FROM users
        WHERE users.id = activities.user_id AND users.deleted_at <= %(before)s
    )"""


def _locked(which: LiteralString) -> LiteralString:
    """All rows are locked before the first is deleted: from its first audit entry on, the transaction holds the lock of
    the audit chain, and must not wait for a transaction that waits for that lock. Rows that another transaction holds,
    such as a restore, are skipped.
    """
    return f"""
    SELECT id
    FROM activities
    WHERE id = ANY(%(ids)s) AND {which}
    ORDER BY id
    FOR UPDATE OF activities SKIP LOCKED
    """


LOCK_EXPIRED = _locked(_PAST_ITS_TIME)
LOCK_OF_DEPARTED = _locked(_OF_DEPARTED)

PURGE = carrying(
    """
    DELETE FROM activities
    WHERE id = ANY(%(locked)s)
    RETURNING id, user_id, version
    """,
    returning="id",
    logged=ChangeKind.PURGED,
    several=True,
    owner="user_id",
)

DEPARTED = """
    SELECT id, CASE WHEN NOT EXISTS (
        SELECT
        FROM users AS living
        WHERE living.email = users.email AND living.deleted_at IS NULL
    ) THEN email END
    FROM users
    WHERE deleted_at <= %(before)s
    ORDER BY deleted_at, id
    LIMIT %(most)s
"""

ACTIVITIES_OF = """
    SELECT id
    FROM activities
    WHERE user_id = %(user_id)s
    LIMIT %(most)s
"""

LOCK_ACCOUNT = """
    SELECT id
    FROM users
    WHERE id = %(id)s AND deleted_at <= %(before)s
        AND NOT EXISTS (SELECT FROM activities WHERE user_id = users.id)
    FOR UPDATE SKIP LOCKED
"""

# No cascade deletes these rows: keys without an activity, and totals, which are full of zeros by now.
ERASE_BESIDE: tuple[LiteralString, ...] = (
    "DELETE FROM idempotency_keys WHERE user_id = %(id)s",
    "DELETE FROM activity_totals WHERE user_id = %(id)s",
)

# API keys and revoked sessions are deleted with the account.
ERASE = carrying("DELETE FROM users WHERE id = %(id)s RETURNING id", returning="id", owner="id")

FORGET_KEYS = """
    DELETE FROM idempotency_keys
    WHERE (user_id, key) IN (
        SELECT user_id, key
        FROM idempotency_keys
        WHERE created_at <= %(before)s
        ORDER BY created_at
        LIMIT %(most)s
        FOR UPDATE SKIP LOCKED
    )
    RETURNING user_id
"""

OVERDUE = f"""
    SELECT trash.*, accounts.*
    FROM (
        SELECT count(*), coalesce(extract(epoch FROM %(trashed)s - min(deleted_at)), 0)::float8
        FROM (
            SELECT deleted_at
            FROM activities
            WHERE deleted_at <= %(trashed)s
            ORDER BY deleted_at
            LIMIT {MOST_COUNTED}
        ) AS found
    ) AS trash, (
        SELECT count(*), coalesce(extract(epoch FROM %(departed)s - min(deleted_at)), 0)::float8
        FROM (
            SELECT deleted_at
            FROM users
            WHERE deleted_at <= %(departed)s
            ORDER BY deleted_at
            LIMIT {MOST_COUNTED}
        ) AS found
    ) AS accounts
"""


class PostgresUpkeepRepo:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def expired(self, *, before: datetime, most: int) -> Sequence[Doomed]:
        return [Doomed(*row) for row in await self._database.all(EXPIRED, {"before": before, "most": most})]

    async def purge_expired(self, ids: Sequence[int], *, before: datetime, messages: Messages) -> Sequence[int]:
        return await self._purge(LOCK_EXPIRED, ids, before, messages)

    async def departed(self, *, before: datetime, most: int) -> Sequence[Departed]:
        return [Departed(*row) for row in await self._database.all(DEPARTED, {"before": before, "most": most})]

    async def activities_of(self, user_id: int, *, most: int) -> Sequence[int]:
        rows = await self._database.all(ACTIVITIES_OF, {"user_id": user_id, "most": most})
        return [number for (number,) in rows]

    async def purge_of_departed(self, ids: Sequence[int], *, before: datetime, messages: Messages) -> Sequence[int]:
        return await self._purge(LOCK_OF_DEPARTED, ids, before, messages)

    async def erase(self, user_id: int, *, before: datetime, messages: Messages) -> bool:
        audit = audit_parameters(AuditAction.USER_ERASED, messages)
        parameters: Mapping[str, Any] = {"id": user_id, "before": before} | audit | messages_parameters([messages])

        async def work(connection: Connection) -> bool:
            if await fetch_one(connection, LOCK_ACCOUNT, parameters) is None:
                return False
            for statement in ERASE_BESIDE:
                await connection.execute(statement, parameters)
            return await fetch_one(connection, ERASE, parameters) is not None

        return await self._database.transaction(work)

    async def forget_keys(self, *, before: datetime, most: int) -> int:
        return len(await self._database.all(FORGET_KEYS, {"before": before, "most": most}))

    async def overdue(self, *, trashed: datetime, departed: datetime) -> Overdue:
        row = await self._database.one(OVERDUE, {"trashed": trashed, "departed": departed})
        assert row is not None
        return Overdue(*row)

    async def _purge(
        self, lock: LiteralString, ids: Sequence[int], before: datetime, messages: Messages
    ) -> Sequence[int]:
        audit = audit_parameters(AuditAction.ACTIVITY_PURGED, messages)

        async def work(connection: Connection) -> Sequence[int]:
            found = await (await connection.execute(lock, {"ids": [*ids], "before": before})).fetchall()
            locked = {"locked": [number for (number,) in found]}
            rows = await (await connection.execute(PURGE, locked | audit | messages_parameters([messages]))).fetchall()
            return [number for (number,) in rows]

        return await self._database.transaction(work)
