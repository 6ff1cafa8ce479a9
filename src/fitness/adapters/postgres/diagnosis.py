"""Checks that PostgreSQL is set up to keep acknowledged writes, with enough connections for every worker."""

import asyncio
from collections.abc import Sequence

import psycopg

from fitness.adapters.postgres.asking import Connection, findings
from fitness.adapters.postgres.migration_files import MigrationRefused
from fitness.adapters.postgres.migration_runner import Migrations
from fitness.ports.health import Finding, Verdict
from fitness.ports.outages import DatabaseUnavailable

OLDEST_TESTED = 18

SETTINGS = """
    SELECT name, setting
    FROM pg_settings
    WHERE name IN (
        'fsync', 'full_page_writes', 'log_error_verbosity', 'log_min_duration_statement', 'log_parameter_max_length',
        'log_parameter_max_length_on_error', 'log_statement', 'max_connections', 'server_version', 'synchronous_commit'
    )
"""

CACHE_STATE = """
    SELECT run_id, extract(epoch FROM clock_timestamp() - closed_at)::float8,
        (SELECT count(*) FROM cache_outbox WHERE unconfirmed)
    FROM cache_state
"""

GOOD, DOUBTFUL, WRONG = Verdict


class PostgresDiagnosis:
    """`connections` is the number that the service may hold."""

    def __init__(self, url: str, migrations: Migrations, connections: int) -> None:
        self._url = url
        self._migrations = migrations
        self._connections = connections

    async def diagnose(self) -> Sequence[Finding]:
        return await asyncio.to_thread(self._diagnose)

    def _diagnose(self) -> list[Finding]:
        try:
            with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
                settings: dict[str, str] = dict(connection.execute(SETTINGS).fetchall())
        except psycopg.OperationalError as error:
            return [Finding(WRONG, f"does not answer: {str(error).strip()}")]
        return [
            _version(settings["server_version"]),
            *_durability(settings),
            _privacy(settings),
            self._room(settings),
            self._schema(),
        ]

    def _room(self, settings: dict[str, str]) -> Finding:
        room, needed = int(settings["max_connections"]), self._connections
        if room > needed:
            return Finding(GOOD, f"max_connections is {room}; the service takes {needed} of them at most")
        return Finding(WRONG, f"max_connections is {room}, and the service may take {needed}: raise it")

    def _schema(self) -> Finding:
        try:
            missing = [status.title for status in self._migrations.status() if status.applied_at is None]
        except (MigrationRefused, DatabaseUnavailable) as error:
            return Finding(WRONG, str(error))
        if missing:
            return Finding(WRONG, f"the schema lacks {', '.join(missing)}; run `fitness migrate up`")
        return Finding(GOOD, "the schema is up to date")


class CacheStateDiagnosis:
    """Whether the cache may be read, and if not, since when and for how many invalidations."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def diagnose(self) -> Sequence[Finding]:
        return await findings(self._url, _cache_state)


def _cache_state(connection: Connection) -> list[Finding]:
    run_id, closed_s, unconfirmed = connection.execute(CACHE_STATE).fetchone() or (None, None, 0)
    if run_id is None:
        return [Finding(GOOD, "no service has used the cache yet")]
    if closed_s is None:
        return [Finding(GOOD, f"the cache is open; the Redis that counts has the run id {run_id}")]
    return [
        Finding(
            DOUBTFUL,
            f"the cache has been closed for {closed_s:.0f} s, unconfirmed invalidations: {unconfirmed}; reads go "
            f"to PostgreSQL until the Redis with the run id {run_id} has carried them out: see "
            "ops/runbooks/CacheClosed.md",
        )
    ]


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


def _privacy(settings: dict[str, str]) -> Finding:
    logs_statements = settings["log_statement"] != "none" or settings["log_min_duration_statement"] != "-1"
    better = {
        "log_error_verbosity": "terse" if settings["log_error_verbosity"] != "terse" else "",
        "log_parameter_max_length_on_error": "0" if settings["log_parameter_max_length_on_error"] != "0" else "",
        "log_parameter_max_length": "0" if logs_statements and settings["log_parameter_max_length"] != "0" else "",
    }
    if to_set := [f"{name} = {value}" for name, value in better.items() if value]:
        return Finding(DOUBTFUL, f"its log shows values, such as e-mail addresses; set {', '.join(to_set)}")
    return Finding(GOOD, "its log shows no values of rows or parameters")
