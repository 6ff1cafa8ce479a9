"""Failed logins in PostgreSQL."""

from datetime import datetime

from fitness.adapters.postgres.database import Database
from fitness.ports.logins import FORGOTTEN_AFTER, FailedLogins

OF = """
    SELECT count, last_at
    FROM failed_logins
    WHERE account = %(account)s
"""

# Those that are forgotten go with the next one, whosever it is.
ADD = """
    WITH forgotten AS (
        DELETE FROM failed_logins
        WHERE last_at <= %(forgotten)s AND account <> %(account)s
    )
    INSERT INTO failed_logins AS known (account, count, last_at)
    VALUES (%(account)s, 1, %(at)s)
    ON CONFLICT (account) DO UPDATE
    SET count = CASE WHEN known.last_at > %(forgotten)s THEN known.count + 1 ELSE 1 END,
        last_at = excluded.last_at
    RETURNING count
"""

CLEAR = """
    DELETE FROM failed_logins
    WHERE account = %(account)s
    RETURNING account
"""


class PostgresFailedLogins:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, account: str) -> FailedLogins | None:
        row = await self._database.one(OF, {"account": account})
        return FailedLogins(*row) if row else None

    async def add(self, account: str, *, at: datetime) -> None:
        await self._database.one(ADD, {"account": account, "at": at, "forgotten": at - FORGOTTEN_AFTER})

    async def clear(self, account: str) -> None:
        await self._database.one(CLEAR, {"account": account})
