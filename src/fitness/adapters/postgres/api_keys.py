"""API keys in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString

from fitness.adapters.postgres.database import Database
from fitness.domain.model.api_keys import MOST_KEYS, USE_NOTED_EVERY, ApiKey, ApiScope

# Python has no time after the year 9999. Keys that were made before such times were refused never expire.
EXPIRES_AT: LiteralString = "CASE WHEN expires_at < '10000-01-01' THEN expires_at END"

COLUMNS: LiteralString = f"id, user_id, name, scopes, created_at, {EXPIRES_AT}, last_used_at"

_LIVING = """
    ((expires_at IS NULL OR expires_at > %(at)s)
    AND (sessions_not_before IS NULL OR api_keys.created_at >= sessions_not_before))
"""

ADD = f"""
    WITH dead AS (
        DELETE FROM api_keys
        USING users
        WHERE users.id = user_id AND user_id = %(owner)s AND NOT {_LIVING}
    )
    INSERT INTO api_keys (user_id, name, scopes, digest, created_at, expires_at)
    SELECT users.id, %(name)s, %(scopes)s, %(digest)s, %(at)s, %(expires_at)s
    FROM users
    WHERE users.id = %(owner)s AND deleted_at IS NULL AND (
        SELECT count(*)
        FROM api_keys
        WHERE user_id = users.id AND {_LIVING}
    ) < {MOST_KEYS}
    RETURNING {COLUMNS}
"""

OF = f"""
    SELECT {COLUMNS}
    FROM api_keys
    WHERE digest = %(digest)s AND (expires_at IS NULL OR expires_at > %(at)s)
"""

NOTE_USE = f"""
    UPDATE api_keys
    SET last_used_at = %(at)s
    WHERE digest = %(digest)s
    RETURNING {COLUMNS}
"""

REVOKE = """
    DELETE FROM api_keys
    WHERE id = %(id)s AND user_id = %(owner)s
    RETURNING id
"""

LIST = f"""
    SELECT api_keys.id, user_id, api_keys.name, scopes, api_keys.created_at, {EXPIRES_AT}, last_used_at
    FROM api_keys
    JOIN users ON users.id = user_id
    WHERE user_id = %(owner)s AND {_LIVING}
    ORDER BY api_keys.created_at DESC, api_keys.id DESC
"""


class PostgresApiKeys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        user_id: int,
        name: str,
        scopes: Sequence[ApiScope],
        *,
        digest: bytes,
        at: datetime,
        expires_at: datetime | None,
    ) -> ApiKey | None:
        parameters = {"owner": user_id, "name": name, "scopes": [*scopes], "digest": digest}
        row = await self._database.one(ADD, parameters | {"at": at, "expires_at": expires_at})
        return _key(row) if row else None

    async def of(self, digest: bytes, *, at: datetime) -> ApiKey | None:
        row = await self._database.one(OF, {"digest": digest, "at": at})
        key = _key(row) if row else None
        if key is not None and (key.last_used_at is None or at - key.last_used_at >= USE_NOTED_EVERY):
            row = await self._database.one(NOTE_USE, {"digest": digest, "at": at})
            return _key(row) if row else None
        return key

    async def revoke(self, key_id: int, *, owner: int) -> bool:
        return await self._database.one(REVOKE, {"id": key_id, "owner": owner}) is not None

    async def list(self, owner: int, *, at: datetime) -> Sequence[ApiKey]:
        return [_key(row) for row in await self._database.all(LIST, {"owner": owner, "at": at})]


def _key(row: tuple[Any, ...]) -> ApiKey:
    return ApiKey(
        id=row[0],
        user_id=row[1],
        name=row[2],
        scopes=tuple(ApiScope(scope) for scope in row[3]),
        created_at=row[4],
        expires_at=row[5],
        last_used_at=row[6],
    )
