"""Accounts in PostgreSQL."""

from datetime import datetime
from typing import Any

from psycopg.errors import UniqueViolation

from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.messages import audit_parameters, carrying, messages_parameters
from fitness.adapters.postgres.rows import listing, page_parameters, page_sql
from fitness.domain.model.audit import AuditAction
from fitness.domain.model.listings import Listing, Page, Position
from fitness.domain.model.refusals import EmailTaken
from fitness.domain.model.users import ProfileChanges, Registration, Role, Tier, User, WeekStart
from fitness.ports.messages import Messages
from fitness.ports.users import Credentials

COLUMNS = "id, email, name, timezone, week_start, role, tier, created_at, updated_at"

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

# A name may be cleared, so whether it is named stands apart from what it is set to.
UPDATE_PROFILE = carrying(
    f"""
    UPDATE users
    SET name = CASE WHEN %(names)s THEN %(name)s ELSE name END,
        timezone = coalesce(%(timezone)s, timezone),
        week_start = coalesce(%(week_start)s, week_start),
        updated_at = %(at)s
    WHERE id = %(id)s AND deleted_at IS NULL
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
        return _user(row)

    async def get(self, user_id: int) -> User | None:
        row = await self._database.one(GET, {"id": user_id})
        return _user(row) if row else None

    async def find(self, email: str) -> User | None:
        row = await self._database.one(FIND, {"email": email})
        return _user(row) if row else None

    async def credentials(self, email: str) -> Credentials | None:
        row = await self._database.one(CREDENTIALS, {"email": email})
        return Credentials(*row) if row else None

    async def update_profile(
        self, user_id: int, changes: ProfileChanges, *, at: datetime, messages: Messages
    ) -> User | None:
        parameters = {
            "id": user_id,
            "names": "name" in changes,
            "name": changes.get("name"),
            "timezone": changes.get("timezone"),
            "week_start": changes.get("week_start"),
            "at": at,
        }
        row = await self._database.one(UPDATE_PROFILE, parameters | messages_parameters([messages]))
        return _user(row) if row else None

    async def set_standing(
        self, user_id: int, *, role: Role | None = None, tier: Tier | None = None, messages: Messages
    ) -> User | None:
        audit = audit_parameters(AuditAction.USER_CHANGED, messages)
        parameters = {"id": user_id, "role": role, "tier": tier} | audit | messages_parameters([messages])
        row = await self._database.one(SET_STANDING, parameters)
        return _user(row) if row else None

    async def list(self, page: Page) -> Listing[User]:
        query = page_sql(columns=COLUMNS, source="FROM users WHERE deleted_at IS NULL", order="created_at", page=page)
        rows = await self._database.all(query, page_parameters(page))
        return listing(rows, page, _user, lambda user: Position(user.created_at, user.id))


def _user(row: tuple[Any, ...]) -> User:
    return User(
        id=row[0],
        email=row[1],
        name=row[2],
        timezone=row[3],
        week_start=WeekStart(row[4]),
        role=Role(row[5]),
        tier=Tier(row[6]),
        created_at=row[7],
        updated_at=row[8],
    )
