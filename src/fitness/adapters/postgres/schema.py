"""Checks that PostgreSQL answers, and has the schema that this version needs."""

from psycopg.errors import InsufficientPrivilege, UndefinedTable

from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.migration_files import shipped_migrations
from fitness.adapters.postgres.rights import NO_RIGHTS
from fitness.ports.setup import BadSetup

# Migrations are numbered without gaps and applied in order, so their count is the version of the schema.
APPLIED = """
    SELECT count(*)
    FROM schema_migrations
    WHERE version <= %(needed)s
"""


class SchemaProbe:
    """Asks PostgreSQL for the schema's version, which costs no more than any other question would."""

    def __init__(self, database: Database, needed: int | None = None) -> None:
        """`needed` is a migration's number; the last one of this version if not given."""
        self._database = database
        self._needed = shipped_migrations()[-1].version if needed is None else needed

    async def check(self) -> None:
        version = await self._version()
        if version < self._needed:
            raise BadSetup(
                f"the schema is at {version:03}, this version needs {self._needed:03}: run `fitness migrate up`"
            )

    async def _version(self) -> int:
        try:
            row = await self._database.one(APPLIED, {"needed": self._needed})
        except UndefinedTable:  # nothing was migrated yet
            return 0
        except InsufficientPrivilege as error:
            raise BadSetup(NO_RIGHTS) from error
        return int(row[0]) if row else 0
