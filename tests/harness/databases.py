"""Migrated databases, lent to one test after another.

Copying a database and dropping the copy takes PostgreSQL some 0.3 s, which is more than most tests take. So a database
that comes back with an unchanged schema is emptied and lent again; any other is dropped.
"""

import time
from collections.abc import Sequence
from itertools import count
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from fitness.adapters.embedded.engines import OWNER, SERVICE, EngineUrls
from fitness.adapters.postgres.migration_runner import Migrations
from tests.patience import PATIENCE_S

TEMPLATE = "template_fitness"

_numbers = count(1)

# A change of a definition writes a new row there. The rows of pg_class also change with the content of the tables.
SCHEMA = """
SELECT
    (SELECT array_agg((oid, relname, relkind, relowner, relacl, reloptions)::text ORDER BY oid)
        FROM pg_class WHERE oid >= 16384 AND relnamespace = 'public'::regnamespace),
    (SELECT array_agg((attrelid, attnum, xmin)::text ORDER BY attrelid, attnum)
        FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)),
    (SELECT array_agg((oid, xmin)::text ORDER BY oid) FROM pg_proc WHERE oid >= 16384),
    (SELECT array_agg((oid, xmin)::text ORDER BY oid) FROM pg_constraint WHERE oid >= 16384),
    (SELECT array_agg((oid, xmin)::text ORDER BY oid) FROM pg_trigger WHERE oid >= 16384),
    (SELECT array_agg((indexrelid, xmin)::text ORDER BY indexrelid) FROM pg_index WHERE indexrelid >= 16384),
    (SELECT array_agg((oid, xmin)::text ORDER BY oid) FROM pg_rewrite WHERE oid >= 16384),
    (SELECT array_agg((oid, xmin)::text ORDER BY oid) FROM pg_namespace),
    (SELECT count(*) FROM pg_db_role_setting)
"""

OTHERS_ENDED = """
SELECT count(pg_terminate_backend(pid, 5000))
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

# Replicas fire no triggers, which guard the audit log. A crash may lose a commit that is not waited for, but the whole
# server is deleted after the run anyway.
UNGUARDED = "SET session_replication_role = replica; SET synchronous_commit = off"

# TRUNCATE makes new files, which takes longer than deleting a few rows.
EMPTIED = """
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT oid::regclass AS name, pg_table_size(oid) > 262144 AS large
        FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> ALL ({but})
    LOOP
        IF one.large THEN
            EXECUTE format('TRUNCATE %s CASCADE', one.name);
        ELSE
            EXECUTE format('DELETE FROM %s', one.name);
        END IF;
    END LOOP;
END
$$
"""
COUNTED_FROM_START = (
    "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences"
)


class Databases:
    def __init__(self, urls: EngineUrls) -> None:
        self._urls = urls
        self._free: list[str] = []
        self._execute(f"CREATE DATABASE {TEMPLATE}")
        Migrations(self.owner_url(TEMPLATE), service_url=self.url(TEMPLATE)).up()
        with psycopg.connect(self.owner_url(TEMPLATE), autocommit=True) as connection:
            tables = connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            ).fetchall()
            self._rows = {name: _rows(connection, name) for (name,) in tables}
            self._schema = connection.execute(SCHEMA).fetchone()

    def url(self, name: str) -> str:
        """The URL that connects as the service's role."""
        return _named(self._urls.database_url, name)

    def owner_url(self, name: str) -> str:
        return _named(self._urls.owner_database_url, name)

    def lend(self) -> str:
        """The name of a database that has only the rows that the migrations made."""
        return self._free.pop() if self._free else self.make(TEMPLATE)

    def take_back(self, name: str) -> None:
        """Take a database back, after ending all connections to it."""
        with psycopg.connect(self.owner_url(name), autocommit=True) as connection:
            connection.execute(OTHERS_ENDED)
            as_lent = connection.execute(SCHEMA).fetchone() == self._schema
            if as_lent:
                self._empty(connection)
        if as_lent:
            self._free.append(name)
        else:
            self.drop(name)

    def clear(self, name: str) -> None:
        """Remove all rows while a service stays connected. Its cache's state stays, and ids continue, so that a copy
        under an old id never belongs to a new row.
        """
        with psycopg.connect(self.owner_url(name), autocommit=True) as connection:
            self._empty(connection, but=("cache_state", "schema_migrations"))

    def make(self, template: str) -> str:
        name = f"test_{next(_numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _empty(self, connection: "psycopg.Connection[tuple[object, ...]]", but: Sequence[str] = ()) -> None:
        """Remove all rows, except in the tables `but`, and restore the rows of the migrations."""
        connection.execute(UNGUARDED)
        connection.execute(sql.SQL(EMPTIED).format(but=sql.Literal([*but])))
        if not but:
            connection.execute(COUNTED_FROM_START)
        for table, rows in self._rows.items():
            if rows and table not in but:
                connection.execute(
                    f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s::json)".encode(),
                    [rows],
                )

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._urls.owner_database_url, autocommit=True) as connection:
            connection.execute(statement.encode())


def _named(server_url: str, name: str) -> str:
    return f"postgresql:///{name}?{urlsplit(server_url).query}"


def as_service(owner_url: str) -> str:
    """The URL of the same database that connects as the service's role."""
    return owner_url.replace(f"user={OWNER}", f"user={SERVICE}")


def write_to_disk(server_url: str, how: str) -> None:
    """Make PostgreSQL wait for the disk or not: `on` or `off`. With `off`, only a power cut loses anything."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = {how}".encode())
        connection.execute("SELECT pg_reload_conf()")
        give_up_s = time.monotonic() + PATIENCE_S
        while connection.execute("SHOW fsync").fetchone() != (how,):  # each process reads its settings in its own time
            assert time.monotonic() < give_up_s
            time.sleep(0.01)


def _rows(connection: "psycopg.Connection[tuple[object, ...]]", table: str) -> object:
    """All rows of a table as one JSON text; None for an empty table."""
    query = f"SELECT json_agg(to_json(whole_row))::text FROM {table} AS whole_row"
    found = connection.execute(query.encode()).fetchone()
    assert found is not None
    return found[0]
