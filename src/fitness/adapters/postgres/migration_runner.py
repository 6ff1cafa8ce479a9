"""Migrations, carried out by one process at a time; the files are described in migration_files.py."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, LiteralString

import psycopg

from fitness.adapters.postgres.migration_files import (
    Migration,
    MigrationRefused,
    needs_no_transaction,
    shipped_migrations,
    statements_of,
)
from fitness.adapters.postgres.rights import NO_RIGHTS, grant_rights, role_of
from fitness.ports.outages import DatabaseUnavailable

LOCK_ID = 7_063_117_441_001
LOCK_PATIENCE_S = 60.0

TABLE_LOCK_TIMEOUT_MS = 500
"""Requests queue behind a migration that waits for a lock. This is shorter than their deadline, DEADLINE_S, so that
they are late and not refused."""

TABLE_LOCK_PAUSE_S = 1.0
"""The pause between two attempts to get a lock, in which queued requests go on."""

TABLE_LOCK_PATIENCE_S = 15.0

CREATE_TABLE = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version integer PRIMARY KEY,
        name text NOT NULL,
        sha256 text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""

TABLE_IS_THERE = "SELECT to_regclass('schema_migrations') IS NOT NULL"

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

# The guard of 007_create_audit_log reads this setting.
ALLOW_DROP = "SELECT set_config('fitness.drop_audit_log', %s, false)"

SET_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %s, false)"


class _LockTimeout(MigrationRefused):
    """Another transaction holds a lock that the migration needs."""


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    title: str
    applied_at: datetime | None


class Migrations:
    """Applies migrations, takes them back, and reports their status.

    Every method raises MigrationRefused, DatabaseUnavailable, and psycopg.Error where the server refuses a statement.
    """

    def __init__(
        self,
        url: str,
        shipped: list[Migration] | None = None,
        *,
        service_url: str | None = None,
        lock_patience_s: float = TABLE_LOCK_PATIENCE_S,
    ) -> None:
        """`url` connects as the owner of the tables, `service_url` as the role of the service, if that is another."""
        self._url = url
        self._service_url = service_url or url
        self._shipped = shipped_migrations() if shipped is None else shipped
        self._lock_patience_s = lock_patience_s

    def up(self) -> list[str]:
        """Apply missing migrations, and give the service's role its rights. Returns the titles of the applied ones."""
        with self._locked() as connection:
            connection.execute(CREATE_TABLE)
            role = None if self._service_url == self._url else role_of(self._service_url)
            done = self._applied(connection)
            missing = [migration for migration in self._shipped if migration.version not in done]
            for migration in missing:
                record = {"version": migration.version, "name": migration.name, "sha256": migration.sha256}
                self._run(connection, [(migration, migration.up, RECORD, record)])
            if role is not None and role != connection.info.user:
                grant_rights(connection, role)
        return [migration.title for migration in missing]

    def down(self, steps: int = 1, *, drop_audit_log: bool = False) -> list[str]:
        """Take back the last `steps` migrations. Returns their titles.

        A refusal changes nothing. First the guards of every step are asked. Between their answers and the step somebody
        may write what a guard protects, so each step asks its guards again, after it has locked the table. Steps that
        follow one another are one transaction, and a refusal then rolls back all of them. A `-- no-transaction` step
        cannot be part of the transaction: it is taken before the steps that follow it, and stays taken if one of those
        refuses at that late point. It may lose nothing but indexes and settings, and the message names it.

        An audit log that has entries is dropped only with `drop_audit_log`.
        """
        with self._locked() as connection:
            connection.execute(CREATE_TABLE)
            done = self._applied(connection)
            last = [migration for migration in reversed(self._shipped) if migration.version in done][:steps]
            connection.execute(ALLOW_DROP, ["on" if drop_audit_log else "off"])
            taken: list[str] = []
            begun = ""
            try:
                for migration in last:
                    self._ask_guards(connection, migration)
                for together in _transactions(last):
                    begun = together[0].title if together[0].down_alone else ""
                    halves = [(one, one.down, ERASE, {"version": one.version}) for one in together]
                    self._run(connection, halves)
                    taken += [one.title for one in together]
            except MigrationRefused as refused:
                raise MigrationRefused(f"{refused}; {_what_is_left(taken, begun)}") from refused
        return taken

    def status(self) -> list[MigrationStatus]:
        """The migrations of this version in order, then applied ones that only a later version knows."""
        with self._connection() as connection:
            # The service's role may not create the table.
            begun = connection.execute(TABLE_IS_THERE).fetchone() == (True,)
            try:
                done = self._applied(connection, later_ones=True) if begun else {}
            except psycopg.errors.InsufficientPrivilege as error:
                raise MigrationRefused(NO_RIGHTS) from error
        known = [MigrationStatus(one.title, done.pop(one.version, (one.title, None))[1]) for one in self._shipped]
        return known + [MigrationStatus(title, applied_at) for title, applied_at in done.values()]

    def _ask_guards(self, connection: psycopg.Connection[Any], migration: Migration) -> None:
        for guard in migration.guards:
            self._with_patience(partial(_run_alone, connection, migration, guard))

    def _run(self, connection: psycopg.Connection[Any], halves: "list[_Half]") -> None:
        """Carry out the halves in one transaction, or a lone `-- no-transaction` half statement by statement."""
        (migration, text, note, noted), *_ = halves
        if needs_no_transaction(text):
            for statement in statements_of(text):
                self._with_patience(partial(_run_alone, connection, migration, statement))
            connection.execute(note, noted)
        else:
            self._with_patience(partial(_run_together, connection, halves))

    def _with_patience(self, attempt: Callable[[], None]) -> None:
        """Repeat the attempt until it gets its locks. This is safe: it was rolled back, or it is repeatable."""
        give_up_s = time.monotonic() + self._lock_patience_s
        while True:
            try:
                return attempt()
            except _LockTimeout:
                if time.monotonic() > give_up_s:
                    raise
            time.sleep(min(TABLE_LOCK_PAUSE_S, self._lock_patience_s))

    def _applied(
        self, connection: psycopg.Connection[Any], *, later_ones: bool = False
    ) -> dict[int, tuple[str, datetime]]:
        """The title and time of each version that was applied, after a check that the database and the files agree.

        With `later_ones`, the database may be ahead of the files.
        """
        known = {migration.version: migration for migration in self._shipped}
        applied = {}
        for version, name, sha256, applied_at in connection.execute(APPLIED):
            migration = known.get(version)
            if migration is None and not later_ones:
                raise MigrationRefused(f"the database has {version:03}_{name}, which this version does not know")
            if migration is not None and migration.sha256 != sha256:
                raise MigrationRefused(f"{migration.title} was changed after it was applied")
            applied[version] = (f"{version:03}_{name}", applied_at)
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


_Half = tuple[Migration, str, LiteralString, dict[str, Any]]
"""A migration, its SQL for one direction, and the statement that records it, with its parameters."""


def _transactions(migrations: list[Migration]) -> list[list[Migration]]:
    """Groups to take back in one transaction each; a `-- no-transaction` migration is a group of its own."""
    found: list[list[Migration]] = []
    for migration in migrations:
        if found and not migration.down_alone and not found[-1][0].down_alone:
            found[-1].append(migration)
        else:
            found.append([migration])
    return found


def _what_is_left(taken: list[str], begun: str) -> str:
    changes = [f"only {', '.join(taken)} had been taken back by then"] if taken else []
    if begun:
        changes.append(f"{begun} was begun, and the next run begins it anew")
    return "; ".join(changes) or "nothing was changed"


def _run_together(connection: psycopg.Connection[Any], halves: list[_Half]) -> None:
    connection.execute(SET_LOCK_TIMEOUT, [str(TABLE_LOCK_TIMEOUT_MS)])
    with connection.transaction():
        for migration, text, note, noted in halves:
            with _refusals_of(migration):
                connection.execute(text.encode())
                connection.execute(note, noted)


def _run_alone(connection: psycopg.Connection[Any], migration: Migration, statement: str) -> None:
    # Such a statement waits for every older transaction, however long it lasts, and no request waits for the statement.
    blocks_nobody = "CONCURRENTLY" in statement or statement.startswith("VACUUM")
    connection.execute(SET_LOCK_TIMEOUT, ["0" if blocks_nobody else str(TABLE_LOCK_TIMEOUT_MS)])
    with _refusals_of(migration):
        connection.execute(statement.encode())


@contextmanager
def _refusals_of(migration: Migration) -> Iterator[None]:
    """Translates a guard's exception, and a lock that was not to be had in time, into MigrationRefused."""
    try:
        yield
    except psycopg.errors.RaiseException as error:
        raise MigrationRefused(f"{migration.title}: {error.diag.message_primary}") from error
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise _LockTimeout(
            f"{migration.title} waited for a lock that another transaction holds, and gave up so as not to block "
            "requests; run the command again when that transaction has ended"
        ) from error
