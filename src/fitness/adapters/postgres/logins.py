"""Logins and failures by network, in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime

from fitness.adapters.postgres.database import Database
from fitness.ports.logins import FORGOTTEN_AFTER, KNOWN_FOR, LoginsFrom

OF = """
    SELECT network, failures, failed_at, logged_in_at
    FROM login_networks
    WHERE account = %(account)s AND network = ANY (%(networks)s)
"""

# The networks come in order, so that two failures at once lock the same rows in the same order.
ADD_FAILURE = """
    INSERT INTO login_networks AS known (account, network, failures, failed_at, kept_until)
    SELECT %(account)s, network, 1, %(at)s, %(kept_until)s
    FROM unnest(%(networks)s::text[]) AS given (network)
    ORDER BY network
    ON CONFLICT (account, network) DO UPDATE
    SET failures = CASE WHEN known.failed_at > %(forgotten)s THEN known.failures + 1 ELSE 1 END,
        failed_at = excluded.failed_at,
        kept_until = greatest(known.kept_until, excluded.kept_until)
    RETURNING network
"""

ADD_SUCCESS = """
    WITH cleared AS (
        UPDATE login_networks
        SET failures = 0, failed_at = NULL
        WHERE account = %(account)s AND network = ANY (%(within)s) AND failures > 0
    )
    INSERT INTO login_networks (account, network, failures, logged_in_at, kept_until)
    VALUES (%(account)s, %(network)s, 0, %(at)s, %(kept_until)s)
    ON CONFLICT (account, network) DO UPDATE
    SET failures = 0, failed_at = NULL, logged_in_at = excluded.logged_in_at, kept_until = excluded.kept_until
    RETURNING network
"""

# A separate statement, which waits for no lock: as part of the statement above, two of them could deadlock.
FORGET = """
    DELETE FROM login_networks
    WHERE (account, network) IN (
        SELECT account, network
        FROM login_networks
        WHERE kept_until <= %(at)s
        ORDER BY kept_until, account, network
        LIMIT 100
        FOR UPDATE SKIP LOCKED
    )
    RETURNING network
"""

FORGET_ACCOUNT = """
    DELETE FROM login_networks
    WHERE account = %(account)s
    RETURNING network
"""


class PostgresLoginHistory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, account: str, networks: Sequence[str], *, at: datetime) -> list[LoginsFrom]:
        rows = await self._database.all(OF, {"account": account, "networks": [*networks]})
        found = {network: _counting(*row, at=at) for network, *row in rows}
        return [found.get(network, LoginsFrom()) for network in networks]

    async def add_failure(self, account: str, networks: Sequence[str], *, at: datetime) -> None:
        parameters = {"account": account, "networks": [*networks], "at": at}
        forgotten = {"forgotten": at - FORGOTTEN_AFTER, "kept_until": at + FORGOTTEN_AFTER}
        await self._database.all(ADD_FAILURE, parameters | forgotten)
        await self._database.all(FORGET, {"at": at})

    async def forget(self, account: str) -> None:
        await self._database.all(FORGET_ACCOUNT, {"account": account})

    async def forget_expired(self, *, at: datetime) -> int:
        return len(await self._database.all(FORGET, {"at": at}))

    async def add_success(self, account: str, network: str, *, within: Sequence[str] = (), at: datetime) -> None:
        parameters = {"account": account, "network": network, "within": [*within], "at": at}
        await self._database.one(ADD_SUCCESS, parameters | {"kept_until": at + KNOWN_FOR})


def _counting(failures: int, failed_at: datetime | None, logged_in_at: datetime | None, *, at: datetime) -> LoginsFrom:
    known = logged_in_at is not None and at < logged_in_at + KNOWN_FOR
    if failed_at is None or at >= failed_at + FORGOTTEN_AFTER:
        return LoginsFrom(known=known)
    return LoginsFrom(failures, failed_at, known)
