"""The names of stored objects in PostgreSQL."""

from collections.abc import Collection, Sequence

from fitness.adapters.postgres.database import Connection, Database

# All tables that name objects.
NAMED = """
    SELECT object_name
    FROM originals
    WHERE object_name = ANY(%(names)s)
    UNION ALL
    SELECT large_name
    FROM photos
    WHERE large_name = ANY(%(names)s)
    UNION ALL
    SELECT small_name
    FROM photos
    WHERE small_name = ANY(%(names)s)
    UNION ALL
    SELECT object_name
    FROM export_parts
    WHERE object_name = ANY(%(names)s)
"""

RELEASED = """
    SELECT object_name
    FROM released_objects
    WHERE object_name <> ALL(%(but)s)
    ORDER BY released_at, object_name
    LIMIT %(limit)s
"""

FORGET = """
    DELETE FROM released_objects
    WHERE object_name = ANY(%(names)s)
"""


class PostgresObjectNames:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def named(self, names: Sequence[str]) -> frozenset[str]:
        rows = await self._database.all(NAMED, {"names": [*names]})
        return frozenset(name for (name,) in rows)

    async def released(self, *, limit: int = 100, but: Collection[str] = ()) -> Sequence[str]:
        rows = await self._database.all(RELEASED, {"limit": limit, "but": [*but]})
        return [name for (name,) in rows]

    async def forget(self, names: Sequence[str]) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(FORGET, {"names": [*names]})

        await self._database.run(work)
