"""Whether PostgreSQL is set up so that what was acknowledged stays, with room for every worker."""

import asyncio
from collections.abc import Sequence

import psycopg

from fitness.adapters.postgres.database import MAX_CONNECTIONS
from fitness.adapters.postgres.migration_runner import MigrationRefused, Migrations
from fitness.ports.health import Finding, Verdict
from fitness.ports.outages import DatabaseUnavailable

OLDEST_TESTED = 18

SETTINGS = """
    SELECT name, setting
    FROM pg_settings
    WHERE name IN ('fsync', 'full_page_writes', 'max_connections', 'server_version', 'synchronous_commit')
"""

GOOD, DOUBTFUL, WRONG = Verdict


class PostgresDiagnosis:
    """`workers` is the number of processes that will hold connections."""

    def __init__(self, url: str, migrations: Migrations, workers: int) -> None:
        self._url = url
        self._migrations = migrations
        self._workers = workers

    async def diagnose(self) -> Sequence[Finding]:
        return await asyncio.to_thread(self._diagnose)

    def _diagnose(self) -> list[Finding]:
        try:
            with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
                settings: dict[str, str] = dict(connection.execute(SETTINGS).fetchall())
        except psycopg.OperationalError as error:
            return [Finding(WRONG, f"does not answer: {str(error).strip()}")]
        return [_version(settings["server_version"]), *_durability(settings), self._room(settings), self._schema()]

    def _room(self, settings: dict[str, str]) -> Finding:
        room, needed = int(settings["max_connections"]), self._workers * MAX_CONNECTIONS
        if room > needed:
            return Finding(GOOD, f"max_connections is {room}; {self._workers} workers take {needed} at most")
        return Finding(WRONG, f"max_connections is {room}, and {self._workers} workers may take {needed}: raise it")

    def _schema(self) -> Finding:
        try:
            missing = [status.title for status in self._migrations.status() if status.applied_at is None]
        except (MigrationRefused, DatabaseUnavailable) as error:
            return Finding(WRONG, str(error))
        if missing:
            return Finding(WRONG, f"the schema lacks {', '.join(missing)}; run `fitness migrate up`")
        return Finding(GOOD, "the schema is up to date")


def _version(version: str) -> Finding:
    if int(version.partition(".")[0]) < OLDEST_TESTED:
        return Finding(DOUBTFUL, f"it answers, PostgreSQL {version}; older than {OLDEST_TESTED} is untested")
    return Finding(GOOD, f"it answers, PostgreSQL {version}")


def _durability(settings: dict[str, str]) -> list[Finding]:
    names = ("fsync", "full_page_writes", "synchronous_commit")
    off = [name for name in names if settings[name] == "off"]
    if off:
        return [Finding(WRONG, f"{name} is off: a crash loses acknowledged writes; set it on") for name in off]
    return [Finding(GOOD, f"{', '.join(names)} are on")]
