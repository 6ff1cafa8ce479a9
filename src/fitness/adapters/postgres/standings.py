"""Standings and revocations in PostgreSQL."""

from datetime import datetime

from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.messages import carrying, messages_parameters
from fitness.domain.model.sessions import IDLE_FOR, microseconds
from fitness.domain.model.users import NOBODY, Caller, Role, Standing, Tier, begun_too_early
from fitness.ports.messages import Messages
from fitness.ports.standings import REVOCATIONS_TOLD_FOR

OF = """
    SELECT tier, role, sessions_not_before, spared_session, ARRAY (
        SELECT session_id
        FROM revoked_sessions
        WHERE user_id = users.id AND revoked_at > %(since)s
        ORDER BY session_id COLLATE "C"
    )
    FROM users
    WHERE id = %(id)s AND deleted_at IS NULL
"""

ENDED = """
    SELECT sessions_not_before, spared_session, EXISTS (
        SELECT
        FROM revoked_sessions
        WHERE user_id = users.id AND session_id = %(session_id)s
    )
    FROM users
    WHERE id = %(id)s AND deleted_at IS NULL
"""

REVOKE = carrying(
    """
    INSERT INTO revoked_sessions (user_id, session_id, revoked_at, kept_until)
    SELECT id, %(session_id)s, %(at)s, %(kept_until)s
    FROM users
    WHERE id = %(id)s AND deleted_at IS NULL
    ON CONFLICT (user_id, session_id) DO UPDATE
    SET revoked_at = excluded.revoked_at, kept_until = excluded.kept_until
    RETURNING user_id
    """,
    returning="user_id",
)

REVOKE_ALL = carrying(
    """
    UPDATE users
    SET sessions_not_before = %(at)s, spared_session = %(spared)s
    WHERE id = %(id)s AND deleted_at IS NULL
    RETURNING id
    """,
    returning="id",
)

# A separate statement, which waits for no lock.
FORGET = """
    DELETE FROM revoked_sessions
    WHERE (user_id, session_id) IN (
        SELECT user_id, session_id
        FROM revoked_sessions
        WHERE kept_until <= %(at)s
        ORDER BY kept_until, user_id, session_id
        LIMIT 100
        FOR UPDATE SKIP LOCKED
    )
    RETURNING user_id
"""


class PostgresStandings:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, user_id: int, *, at: datetime) -> Standing:
        row = await self._database.one(OF, {"id": user_id, "since": at - REVOCATIONS_TOLD_FOR})
        if row is None:
            return NOBODY
        tier, role, before, spared, revoked = row
        return Standing(Tier(tier), Role(role), microseconds(before) if before else 0, spared, tuple(revoked))

    async def ended(self, caller: Caller) -> bool:
        row = await self._database.one(ENDED, {"id": caller.id, "session_id": caller.session_id})
        if row is None:
            return True
        before, spared, revoked = row
        before_us = microseconds(before) if before else 0
        return bool(revoked) or begun_too_early(caller, not_before_us=before_us, spared=spared)

    async def revoke(self, user_id: int, session_id: str, *, at: datetime, messages: Messages) -> bool:
        parameters = {"id": user_id, "session_id": session_id, "at": at, "kept_until": at + IDLE_FOR}
        row = await self._database.one(REVOKE, parameters | messages_parameters([messages]))
        await self._database.all(FORGET, {"at": at})
        return row is not None

    async def revoke_all(self, user_id: int, *, at: datetime, spared: str | None = None, messages: Messages) -> bool:
        parameters = {"id": user_id, "at": at, "spared": spared} | messages_parameters([messages])
        return await self._database.one(REVOKE_ALL, parameters) is not None
