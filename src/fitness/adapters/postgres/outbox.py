"""What the cache is owed, in PostgreSQL."""

from collections.abc import Iterable, Sequence
from typing import Any

from fitness.adapters.postgres.database import Database
from fitness.ports.cache import Owed, Scope
from fitness.ports.outbox import MOST_AT_ONCE, Backlog

UNSETTLED = f"""
    SELECT id, scopes
    FROM cache_outbox
    WHERE owed_at <= clock_timestamp() - make_interval(secs => %(older_than_s)s)
    ORDER BY owed_at, id
    LIMIT {MOST_AT_ONCE}
"""

BACKLOG = """
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(owed_at)), 0)::float8
    FROM cache_outbox
"""

SETTLE = """
    DELETE FROM cache_outbox
    WHERE id = ANY(%(ids)s)
    RETURNING id
"""


# Each change writes what the cache is owed in the same statement, and only if it changes something.
OWE = """
        INSERT INTO cache_outbox (id, scopes)
        SELECT %(owed_id)s, %(owed_scopes)s
        FROM changed
        LIMIT 1
        ON CONFLICT (id) DO NOTHING
"""


class PostgresOutbox:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def unsettled(self, *, older_than_s: float = 0.0) -> Sequence[Owed]:
        rows = await self._database.all(UNSETTLED, {"older_than_s": older_than_s})
        return [Owed(row[0], tuple(_scope(text) for text in row[1])) for row in rows]

    async def backlog(self) -> Backlog:
        row = await self._database.one(BACKLOG)
        assert row is not None
        return Backlog(*row)

    async def settle(self, ids: Iterable[int]) -> None:
        await self._database.all(SETTLE, {"ids": [*ids]})


def owed_parameters(owed: Owed) -> dict[str, Any]:
    """What the statements that change activities write into the outbox."""
    return {"owed_id": owed.id, "owed_scopes": [f"{scope.kind}:{scope.id}" for scope in owed.scopes]}


def _scope(text: str) -> Scope:
    kind, _, number = text.partition(":")
    return Scope(kind, int(number))
