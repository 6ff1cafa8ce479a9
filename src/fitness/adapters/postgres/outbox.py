"""The outbox in PostgreSQL."""

from collections.abc import Collection, Iterable, Sequence

from fitness.adapters.postgres.database import Database
from fitness.ports.cache import Era, Scope
from fitness.ports.outbox import MOST_AT_ONCE, Backlog, PendingInvalidation

PENDING = f"""
    SELECT id, scopes
    FROM cache_outbox
    WHERE created_at <= clock_timestamp() - make_interval(secs => %(older_than_s)s) AND id <> ALL(%(but)s)
    ORDER BY created_at, id
    LIMIT {MOST_AT_ONCE}
"""

BACKLOG = """
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
    FROM cache_outbox
"""

ACKNOWLEDGE = """
    DELETE FROM cache_outbox
    WHERE id = ANY(%(ids)s) AND EXISTS (SELECT FROM cache_state WHERE era = %(era)s)
    RETURNING id
"""


class PostgresOutbox:
    """Entries are written by the statements that `carrying` makes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pending(self, *, older_than_s: float = 0.0, but: Collection[int] = ()) -> Sequence[PendingInvalidation]:
        rows = await self._database.all(PENDING, {"older_than_s": older_than_s, "but": [*but]})
        return [PendingInvalidation(row[0], tuple(_scope(text) for text in row[1])) for row in rows]

    async def backlog(self) -> Backlog:
        row = await self._database.one(BACKLOG)
        assert row is not None
        return Backlog(*row)

    async def acknowledge(self, ids: Iterable[int], *, era: Era) -> None:
        await self._database.all(ACKNOWLEDGE, {"ids": [*ids], "era": era.name})


def _scope(text: str) -> Scope:
    kind, _, number = text.partition(":")
    return Scope(kind, int(number))
