"""Exports in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

from fitness.adapters.postgres.database import Connection, Database, Row, fetch_one
from fitness.adapters.postgres.messages import carrying, enqueued_parameters
from fitness.domain.model.exports import Export
from fitness.ports.messages import Messages

# An archive must not hold what has been deleted for good: it ends with the first purge after its request. The change
# log has a purge as soon as it is committed, and an index of purges alone makes it quick to find. For photos there is
# no log: END_ALL sets `expires_at`, also of an export that is still being made.
_GOOD_UNTIL: LiteralString = """
    CASE WHEN ready_at IS NOT NULL THEN least(expires_at, (
        SELECT min(purge.at)
        FROM activity_changes AS purge
        WHERE purge.user_id = exports.user_id AND purge.kind = 'purged' AND purge.at >= exports.requested_at
    )) END
"""

COLUMNS: LiteralString = f"id, user_id, requested_at, ready_at, {_GOOD_UNTIL}, size_bytes, used_at"

_OF_LIVING = "EXISTS (SELECT FROM users WHERE users.id = exports.user_id AND users.deleted_at IS NULL)"

# Of two concurrent requests the second finds the first one's row in the unique index of waiting exports. An export that
# is requested anew belongs to no run any more: what an earlier run read may have been deleted for good since.
REQUEST = carrying(
    f"""
    INSERT INTO exports (user_id, requested_at)
    SELECT id, %(at)s
    FROM users
    WHERE id = %(user_id)s AND deleted_at IS NULL AND NOT EXISTS (
        SELECT
        FROM exports
        WHERE user_id = users.id AND (
            (ready_at IS NULL AND requested_at > %(given_up_before)s) OR (used_at IS NULL AND {_GOOD_UNTIL} > %(at)s)
        )
    )
    ON CONFLICT (user_id) WHERE ready_at IS NULL DO UPDATE
    SET requested_at = excluded.requested_at, expires_at = NULL, run = NULL
    WHERE exports.requested_at <= %(given_up_before)s
    RETURNING id
    """,
    returning="id",
    enqueues=True,
)

LATEST = f"""
    SELECT {COLUMNS}
    FROM exports
    WHERE user_id = %(user_id)s AND {_OF_LIVING}
    ORDER BY id DESC
    LIMIT 1
"""

BEGIN = f"""
    UPDATE exports
    SET run = %(run)s
    WHERE user_id = %(user_id)s AND ready_at IS NULL AND {_OF_LIVING}
    RETURNING {COLUMNS}
"""

DELETE_PARTS = """
    DELETE FROM export_parts
    WHERE export_id = %(id)s
"""

# The row of the export is locked: a part is either deleted when a later run begins, or not added after that.
ADD_PART = """
    INSERT INTO export_parts (export_id, number, object_name)
    SELECT id, %(number)s, %(object_name)s
    FROM exports
    WHERE id = %(id)s AND run = %(run)s AND ready_at IS NULL
    FOR UPDATE
    RETURNING export_id
"""

FINISH = """
    UPDATE exports
    SET ready_at = %(at)s, expires_at = least(expires_at, %(expires_at)s), size_bytes = %(size_bytes)s
    WHERE id = %(id)s AND run = %(run)s AND ready_at IS NULL
    RETURNING id
"""

READY = f"""
    SELECT {COLUMNS}
    FROM exports
    WHERE id = %(id)s AND used_at IS NULL AND {_GOOD_UNTIL} > %(at)s AND {_OF_LIVING}
"""

USE = f"""
    UPDATE exports
    SET used_at = %(at)s
    WHERE id = %(id)s AND used_at IS NULL AND {_GOOD_UNTIL} > %(at)s AND {_OF_LIVING}
    RETURNING {COLUMNS}, ARRAY(SELECT object_name FROM export_parts WHERE export_id = exports.id ORDER BY number)
"""

GIVE_BACK = """
    UPDATE exports
    SET used_at = NULL
    WHERE id = %(id)s AND used_at = %(used_at)s
    RETURNING id
"""

END_ALL = """
    UPDATE exports
    SET expires_at = %(at)s
    WHERE user_id = %(owner)s AND (expires_at IS NULL OR expires_at > %(at)s)
"""

FORGET = f"""
    DELETE FROM exports
    WHERE id IN (
        SELECT id
        FROM exports
        WHERE used_at <= %(used_before)s
            OR (used_at IS NULL AND {_GOOD_UNTIL} <= %(expired_before)s)
            OR (ready_at IS NULL AND requested_at <= %(requested_before)s)
        ORDER BY id
        LIMIT 100
        FOR UPDATE SKIP LOCKED
    )
    RETURNING id
"""


class PostgresExportRepo:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, user_id: int, *, at: datetime, given_up_before: datetime, messages: Messages) -> bool:
        parameters = {"user_id": user_id, "at": at, "given_up_before": given_up_before}
        return await self._database.one(REQUEST, parameters | enqueued_parameters(messages)) is not None

    async def latest(self, user_id: int) -> Export | None:
        row = await self._database.one(LATEST, {"user_id": user_id})
        return _export(row) if row else None

    async def begin(self, user_id: int, *, run: int) -> Export | None:
        async def work(connection: Connection) -> Export | None:
            row = await fetch_one(connection, BEGIN, {"user_id": user_id, "run": run})
            if row is None:
                return None
            await connection.execute(DELETE_PARTS, {"id": row[0]})
            return _export(row)

        return await self._database.transaction(work)

    async def add_part(self, export_id: int, *, run: int, number: int, object_name: str) -> bool:
        parameters = {"id": export_id, "run": run, "number": number, "object_name": object_name}
        return await self._database.one(ADD_PART, parameters) is not None

    async def finish(self, export_id: int, *, run: int, size_bytes: int, at: datetime, expires_at: datetime) -> bool:
        parameters = {"id": export_id, "run": run, "size_bytes": size_bytes, "at": at, "expires_at": expires_at}
        return await self._database.one(FINISH, parameters) is not None

    async def ready(self, export_id: int, *, at: datetime) -> Export | None:
        row = await self._database.one(READY, {"id": export_id, "at": at})
        return _export(row) if row else None

    async def use(self, export_id: int, *, at: datetime) -> tuple[Export, Sequence[str]] | None:
        row = await self._database.one(USE, {"id": export_id, "at": at})
        return (_export(row), row[7]) if row else None

    async def give_back(self, export_id: int, *, used_at: datetime) -> None:
        await self._database.one(GIVE_BACK, {"id": export_id, "used_at": used_at})

    async def forget(self, *, used_before: datetime, expired_before: datetime, requested_before: datetime) -> int:
        parameters = {
            "used_before": used_before,
            "expired_before": expired_before,
            "requested_before": requested_before,
        }
        return len(await self._database.all(FORGET, parameters))


def _export(row: Row) -> Export:
    return Export(
        id=row[0],
        user_id=row[1],
        requested_at=row[2],
        ready_at=row[3],
        expires_at=row[4],
        size_bytes=row[5],
        used_at=row[6],
    )
