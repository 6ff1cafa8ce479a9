"""Migrations: numbered pairs of SQL files, applied by one process at a time.

Each is one transaction, and so in force in full or not at all. A file whose first line is `-- no-transaction` is not:
each of its statements is one, as CREATE INDEX CONCURRENTLY and VACUUM need it. If it fails midway, the next run begins
at its first statement, so each has to bear being repeated: an index that was left invalid is dropped first.
"""

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, LiteralString

import psycopg

from fitness.ports.outages import DatabaseUnavailable
from fitness.ports.setup import BadSetup

LOCK_ID = 7_063_117_441_001
LOCK_PATIENCE_S = 60.0

CREATE_TABLE = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version integer PRIMARY KEY,
        name text NOT NULL,
        sha256 text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""

APPLIED = """
    SELECT version, name, sha256, applied_at
    FROM schema_migrations
    ORDER BY version
"""

RECORD = """
    INSERT INTO schema_migrations (version, name, sha256)
    VALUES (%(version)s, %(name)s, %(sha256)s)
"""

ERASE = """
    DELETE FROM schema_migrations
    WHERE version = %(version)s
"""

NO_TRANSACTION = "-- no-transaction\n"

_FILE = re.compile(r"(\d{3})_([a-z0-9_]+)\.(up|down)\.sql")


class MigrationRefused(BadSetup):
    """The schema stays as it is, and the message says why."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    up: str
    down: str

    @property
    def title(self) -> str:
        return f"{self.version:03}_{self.name}"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.up.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    title: str
    applied_at: datetime | None


def shipped_migrations() -> list[Migration]:
    """Those that come with this version, in order. Raises MigrationRefused when one lacks its other half."""
    halves: dict[tuple[int, str], dict[str, str]] = {}
    for file in files("fitness.adapters.postgres").joinpath("migrations").iterdir():
        if not (match := _FILE.fullmatch(file.name)):
            raise MigrationRefused(f"{file.name} is not named NNN_name.up.sql or NNN_name.down.sql")
        version, name, direction = match.groups()
        halves.setdefault((int(version), name), {})[direction] = file.read_text(encoding="utf-8")
    for (version, name), pair in halves.items():
        if pair.keys() != {"up", "down"}:
            raise MigrationRefused(f"{version:03}_{name} lacks its other half")
    migrations = [Migration(version, name, **pair) for (version, name), pair in sorted(halves.items())]
    if [migration.version for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise MigrationRefused("the migrations are not numbered 001, 002, 003 … without gaps")
    return migrations


class Migrations:
    """The schema's way up and down.

    Every method raises MigrationRefused, DatabaseUnavailable, and psycopg.Error where the server refuses a statement.
    """

    def __init__(self, url: str, shipped: list[Migration] | None = None) -> None:
        self._url = url
        self._shipped = shipped_migrations() if shipped is None else shipped

    def up(self) -> list[str]:
        """Apply what is missing; the titles of what was."""
        with self._locked() as connection:
            done = self._applied(connection)
            missing = [migration for migration in self._shipped if migration.version not in done]
            for migration in missing:
                record = {"version": migration.version, "name": migration.name, "sha256": migration.sha256}
                _run(connection, migration, migration.up, RECORD, record)
        return [migration.title for migration in missing]

    def down(self, steps: int = 1) -> list[str]:
        """Take back the last `steps`; the titles of what was."""
        with self._locked() as connection:
            done = self._applied(connection)
            last = [migration for migration in reversed(self._shipped) if migration.version in done][:steps]
            for migration in last:
                _run(connection, migration, migration.down, ERASE, {"version": migration.version})
        return [migration.title for migration in last]

    def status(self) -> list[MigrationStatus]:
        with self._connection() as connection:
            done = self._applied(connection)
        return [MigrationStatus(migration.title, done.get(migration.version)) for migration in self._shipped]

    def _applied(self, connection: psycopg.Connection[Any]) -> dict[int, datetime]:
        """When each version was applied, after a check that the database and the files agree."""
        connection.execute(CREATE_TABLE)
        known = {migration.version: migration for migration in self._shipped}
        applied = {}
        for version, name, sha256, applied_at in connection.execute(APPLIED):
            migration = known.get(version)
            if migration is None:
                raise MigrationRefused(f"the database has {version:03}_{name}, which this version does not know")
            if migration.sha256 != sha256:
                raise MigrationRefused(f"{migration.title} was changed after it was applied")
            applied[version] = applied_at
        return applied

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
                connection.execute("SET client_min_messages = warning")
                yield connection
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(f"PostgreSQL does not answer: {error}".strip()) from error

    @contextmanager
    def _locked(self) -> Iterator[psycopg.Connection[Any]]:
        # Polled: waiting inside pg_advisory_lock would hold a snapshot that CREATE INDEX CONCURRENTLY waits for.
        with self._connection() as connection:
            give_up_s = time.monotonic() + LOCK_PATIENCE_S
            while connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_ID]).fetchone() != (True,):
                if time.monotonic() > give_up_s:
                    raise MigrationRefused("another migration has been running for a minute; try again later")
                time.sleep(0.1)
            yield connection  # the lock goes with the connection


def _run(
    connection: psycopg.Connection[Any], migration: Migration, text: str, note: LiteralString, noted: dict[str, Any]
) -> None:
    """Carry out `text`, one half of the migration, and `note` that it was."""
    try:
        if text.startswith(NO_TRANSACTION):
            for statement in _statements(text):
                connection.execute(statement.encode())
            connection.execute(note, noted)
        else:
            with connection.transaction():
                connection.execute(text.encode())
                connection.execute(note, noted)
    except psycopg.errors.RaiseException as error:
        raise MigrationRefused(f"{migration.title}: {error.diag.message_primary}") from error


def _statements(text: str) -> list[str]:
    """One by one, since PostgreSQL makes one transaction of what is sent together. Each ends with its line; what stands
    between `$$` and `$$` is part of one."""
    found: list[str] = []
    begun = ""
    for line in text.splitlines(keepends=True):
        if begun or not line.startswith("--"):
            begun += line
        if begun.rstrip().endswith(";") and begun.count("$$") % 2 == 0:
            found.append(begun)
            begun = ""
    return [*found, begun] if begun.strip() else found
