"""Accounts in PostgreSQL."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, LiteralString

from psycopg.errors import UniqueViolation

from fitness.adapters.postgres.database import Connection, Database, Row, fetch_one
from fitness.adapters.postgres.messages import audit_parameters, carrying, messages_parameters
from fitness.adapters.postgres.rows import listing, page_parameters, page_sql
from fitness.adapters.postgres.user_rows import COLUMNS, account_of, user_of
from fitness.domain.model.audit import AuditAction
from fitness.domain.model.listings import Listing, Page, Position
from fitness.domain.model.refusals import EmailTaken, LastAdmin
from fitness.domain.model.users import (
    LIVING,
    Account,
    AccountFilter,
    AccountState,
    ProfileChanges,
    Registration,
    Role,
    Tier,
    User,
)
from fitness.ports.messages import Messages
from fitness.ports.users import Credentials

INSERT = f"""
    INSERT INTO users (email, password_hash, name, timezone, created_at, updated_at)
    VALUES (%(email)s, %(password_hash)s, %(name)s, %(timezone)s, %(at)s, %(at)s)
    RETURNING {COLUMNS}
"""

GET = f"""
    SELECT {COLUMNS}
    FROM users
    WHERE id = %(id)s AND deleted_at IS NULL
"""

FIND = f"""
    SELECT {COLUMNS}
    FROM users
    WHERE email = %(email)s AND deleted_at IS NULL
"""

CREDENTIALS = """
    SELECT id, password_hash
    FROM users
    WHERE email = %(email)s AND deleted_at IS NULL
"""

_AS_SEEN = """
    (NOT %(is_seen)s OR (email, name, timezone, week_start, role, tier, created_at, updated_at) IS NOT DISTINCT FROM (
        %(seen_email)s, %(seen_name)s, %(seen_timezone)s, %(seen_week_start)s, %(seen_role)s, %(seen_tier)s,
        %(seen_created_at)s, %(seen_updated_at)s
    ))
"""

# A name may be cleared, so a separate parameter says whether the name is changed at all.
UPDATE_PROFILE = carrying(
    f"""
    UPDATE users
    SET name = CASE WHEN %(names)s THEN %(name)s ELSE name END,
        timezone = coalesce(%(timezone)s, timezone),
        week_start = coalesce(%(week_start)s, week_start),
        updated_at = CASE
            WHEN (NOT %(names)s OR name IS NOT DISTINCT FROM %(name)s)
                AND timezone = coalesce(%(timezone)s, timezone)
                AND week_start = coalesce(%(week_start)s, week_start)
            THEN updated_at
            ELSE %(at)s
        END
    WHERE id = %(id)s AND deleted_at IS NULL AND {_AS_SEEN}
    RETURNING {COLUMNS}
    """,
    returning=COLUMNS,
)

SET_STANDING = carrying(
    f"""
    UPDATE users
    SET role = coalesce(%(role)s, role), tier = coalesce(%(tier)s, tier), updated_at = %(audit_at)s
    WHERE id = %(id)s AND deleted_at IS NULL
    RETURNING {COLUMNS}
    """,
    returning=COLUMNS,
    owner="id",
)


GET_HASH = """
    SELECT password_hash
    FROM users
    WHERE id = %(id)s AND deleted_at IS NULL
"""

HASH_TO_RESET = carrying(GET_HASH.replace("SELECT", "SELECT id,"), returning="password_hash", owner="id")

REHASH = """
    UPDATE users
    SET password_hash = %(after)s
    WHERE id = %(id)s AND password_hash = %(before)s
    RETURNING id
"""

SET_PASSWORD = carrying(
    """
    UPDATE users
    SET password_hash = %(after)s, sessions_not_before = %(at)s, spared_session = %(spared)s
    WHERE id = %(id)s AND deleted_at IS NULL AND password_hash = coalesce(%(before)s, password_hash)
    RETURNING id
    """,
    returning="id",
)

# Only one transaction at a time takes the admin's role from an account: a second one waits here, and its next statement
# sees what the first one changed. Locking the admins' rows instead ends in deadlocks, since EXISTS locks only as many
# of them as it looks at.
ALONE = "SELECT pg_advisory_xact_lock(7262816)"

_OTHER_ADMIN = """
    (role <> 'admin' OR EXISTS (
        SELECT
        FROM users AS admins
        WHERE admins.role = 'admin' AND admins.deleted_at IS NULL AND admins.id <> %(id)s
    ))
"""

DEMOTE = carrying(
    f"""
    UPDATE users
    SET role = %(role)s, tier = coalesce(%(tier)s, tier), updated_at = %(audit_at)s
    WHERE id = %(id)s AND deleted_at IS NULL AND {_OTHER_ADMIN}
    RETURNING {COLUMNS}
    """,
    returning=COLUMNS,
    owner="id",
)

SOFT_DELETE = carrying(
    f"""
    UPDATE users
    SET deleted_at = %(at)s, sessions_not_before = %(at)s, spared_session = NULL
    WHERE id = %(id)s AND deleted_at IS NULL AND password_hash = %(before)s AND {_OTHER_ADMIN}
    RETURNING id
    """,
    returning="id",
)

RESTORE = carrying(
    f"""
    UPDATE users
    SET deleted_at = NULL, updated_at = %(audit_at)s
    WHERE id = %(id)s AND deleted_at > %(after)s
    RETURNING {COLUMNS}
    """,
    returning=COLUMNS,
    owner="id",
)

_STATES: dict[AccountState | None, LiteralString] = {
    None: "true",
    AccountState.LIVING: "deleted_at IS NULL",
    AccountState.DELETED: "deleted_at IS NOT NULL",
}


_NARROWED: dict[str, LiteralString] = {
    "email": "email = %(email)s",
    "id": "id = %(id)s",
    "role": "role = %(role)s",
    "tier": "tier = %(tier)s",
}


class PostgresUserRepo:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, registration: Registration, *, password_hash: str, at: datetime) -> User:
        parameters = {
            "email": registration.email,
            "password_hash": password_hash,
            "name": registration.name,
            "timezone": registration.timezone,
            "at": at,
        }
        try:
            row = await self._database.one(INSERT, parameters)
        except UniqueViolation as error:
            raise EmailTaken from error
        assert row is not None
        return user_of(row)

    async def get(self, user_id: int) -> User | None:
        row = await self._database.one(GET, {"id": user_id})
        return user_of(row) if row else None

    async def find(self, email: str) -> User | None:
        row = await self._database.one(FIND, {"email": email})
        return user_of(row) if row else None

    async def credentials(self, email: str) -> Credentials | None:
        row = await self._database.one(CREDENTIALS, {"email": email})
        return Credentials(*row) if row else None

    async def update_profile(
        self, user_id: int, changes: ProfileChanges, *, at: datetime, seen: User | None = None, messages: Messages
    ) -> User | None:
        parameters = {
            "id": user_id,
            "names": "name" in changes,
            "name": changes.get("name"),
            "timezone": changes.get("timezone"),
            "week_start": changes.get("week_start"),
            "at": at,
        }
        parameters |= _seen_parameters(seen) | messages_parameters([messages])
        row = await self._database.one(UPDATE_PROFILE, parameters)
        return user_of(row) if row else None

    async def password_hash(self, user_id: int) -> str | None:
        row = await self._database.one(GET_HASH, {"id": user_id})
        return row[0] if row else None

    async def hash_to_reset(self, user_id: int, *, messages: Messages) -> str | None:
        audit = audit_parameters(AuditAction.PASSWORD_RESET_ISSUED, messages)
        row = await self._database.one(HASH_TO_RESET, {"id": user_id} | audit | messages_parameters([messages]))
        return row[0] if row else None

    async def rehash(self, user_id: int, *, before: str, after: str) -> None:
        await self._database.one(REHASH, {"id": user_id, "before": before, "after": after})

    async def set_password(
        self, user_id: int, *, before: str | None, after: str, at: datetime, spared: str | None, messages: Messages
    ) -> bool:
        parameters = {"id": user_id, "before": before, "after": after, "at": at, "spared": spared}
        return await self._database.one(SET_PASSWORD, parameters | messages_parameters([messages])) is not None

    async def soft_delete(self, user_id: int, *, before: str, at: datetime, messages: Messages) -> bool:
        parameters = {"id": user_id, "before": before, "at": at} | messages_parameters([messages])
        if await self._alone(SOFT_DELETE, parameters) is not None:
            return True
        if await self.password_hash(user_id) == before:
            raise LastAdmin
        return False

    async def _alone(self, query: LiteralString, parameters: Mapping[str, Any]) -> Row | None:
        """The first row; while this transaction lasts, no other one takes the admin's role from an account."""

        async def work(connection: Connection) -> Row | None:
            await connection.execute(ALONE)
            return await fetch_one(connection, query, parameters)

        return await self._database.transaction(work)

    async def restore(self, user_id: int, *, after: datetime, messages: Messages) -> User | None:
        audit = audit_parameters(AuditAction.USER_RESTORED, messages)
        parameters = {"id": user_id, "after": after} | audit | messages_parameters([messages])
        try:
            row = await self._database.one(RESTORE, parameters)
        except UniqueViolation as error:
            raise EmailTaken from error
        return user_of(row) if row else None

    async def set_standing(
        self, user_id: int, *, role: Role | None = None, tier: Tier | None = None, messages: Messages
    ) -> User | None:
        audit = audit_parameters(AuditAction.USER_CHANGED, messages)
        parameters = {"id": user_id, "role": role, "tier": tier} | audit | messages_parameters([messages])
        if role is Role.USER:
            row = await self._alone(DEMOTE, parameters)
        else:
            row = await self._database.one(SET_STANDING, parameters)
        if row is None and role is Role.USER and await self.get(user_id) is not None:
            raise LastAdmin
        return user_of(row) if row else None

    async def list(self, page: Page, which: AccountFilter = LIVING) -> Listing[Account]:
        named = {"email": which.email, "id": which.id, "role": which.role, "tier": which.tier}
        given = {name: value for name, value in named.items() if value is not None}
        wanted = [_STATES[which.state], *(_NARROWED[name] for name in given)]
        source: LiteralString = "FROM users WHERE " + " AND ".join(wanted)
        columns: LiteralString = f"{COLUMNS}, deleted_at"
        query = page_sql(columns=columns, source=source, order="created_at", page=page)
        rows = await self._database.all(query, page_parameters(page) | given)
        return listing(rows, page, account_of, lambda account: Position(account.created_at, account.id))


def _seen_parameters(seen: User | None) -> dict[str, Any]:
    names = ("email", "name", "timezone", "week_start", "role", "tier", "created_at", "updated_at")
    return {"is_seen": seen is not None} | {f"seen_{name}": getattr(seen, name, None) for name in names}
