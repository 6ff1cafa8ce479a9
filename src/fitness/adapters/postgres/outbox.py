"""The outbox in PostgreSQL."""

from collections.abc import Iterable, Sequence

from fitness.adapters.postgres.database import Database, Row
from fitness.adapters.postgres.messages import scopes_text
from fitness.ports.cache import Era, Scope
from fitness.ports.outbox import MOST_AT_ONCE, Backlog, PendingInvalidation

PENDING = f"""
    SELECT id, scopes
    FROM cache_outbox
    WHERE created_at <= clock_timestamp() - make_interval(secs => %(older_than_s)s)
    ORDER BY created_at, id
    LIMIT {MOST_AT_ONCE}
"""

PENDING_OF = f"""
    SELECT id, scopes
    FROM cache_outbox
    WHERE scopes @> ARRAY[%(scope)s::text]
    ORDER BY created_at, id
    LIMIT {MOST_AT_ONCE}
"""

BACKLOG = """
    SELECT count(*), greatest(0, extract(epoch FROM clock_timestamp() - min(created_at)))::float8
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

    async def pending(self, *, older_than_s: float = 0.0) -> Sequence[PendingInvalidation]:
        return [_entry(row) for row in await self._database.all(PENDING, {"older_than_s": older_than_s})]

    async def pending_of(self, scope: Scope) -> Sequence[PendingInvalidation]:
        (text,) = scopes_text([scope])
        return [_entry(row) for row in await self._database.all(PENDING_OF, {"scope": text})]

    async def backlog(self) -> Backlog:
        row = await self._database.one(BACKLOG)
        assert row is not None
        return Backlog(*row)

    async def acknowledge(self, ids: Iterable[int], *, era: Era) -> None:
        await self._database.all(ACKNOWLEDGE, {"ids": [*ids], "era": era.name})


def _entry(row: Row) -> PendingInvalidation:
    return PendingInvalidation(row[0], tuple(_scope(text) for text in row[1]))


def _scope(text: str) -> Scope:
    kind, _, number = text.partition(":")
    return Scope(kind, int(number))
