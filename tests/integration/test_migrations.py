"""Migrations: up and down on a real server, one process at a time, and never over somebody's data."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from procrastinate.schema import SchemaManager

from fitness.adapters.postgres.migration_files import Migration, MigrationRefused, shipped_migrations
from fitness.adapters.postgres.migration_runner import Migrations
from fitness.adapters.postgres.totals_diagnosis import TotalsDiagnosis
from fitness.ports.health import Verdict
from tests.harness.databases import Databases

SHAPE = """
    SELECT table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name <> 'schema_migrations'
    UNION ALL
    SELECT tablename, indexname, indexdef, '', ''
    FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'schema_migrations'
    UNION ALL
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
    FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> 'schema_migrations'::regclass
    UNION ALL
    SELECT 'trigger', tgname, pg_get_triggerdef(oid), '', ''
    FROM pg_trigger
    WHERE NOT tgisinternal
    UNION ALL
    SELECT 'view', viewname, definition, '', ''
    FROM pg_views
    WHERE schemaname = 'public'
    UNION ALL
    SELECT 'function', proname, prosrc, '', ''
    FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
    ORDER BY 1, 2, 3
"""


def shape(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(SHAPE.encode()).fetchall()


def run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def migrations(empty_database_url: str) -> Migrations:
    return Migrations(empty_database_url)


def test_up_down_up_leads_back_to_the_same_schema(migrations: Migrations, empty_database_url: str):
    titles = migrations.up()
    assert "006_add_soft_deletes" in titles
    full = shape(empty_database_url)
    assert migrations.down(len(titles)) == titles[::-1]
    assert shape(empty_database_url) == []
    assert migrations.up() == titles
    assert shape(empty_database_url) == full


def test_each_down_undoes_its_own_up_alone(migrations: Migrations, empty_database_url: str):
    shipped = shipped_migrations()
    shapes = []
    for count in range(1, len(shipped) + 1):
        Migrations(empty_database_url, shipped[:count]).up()
        shapes.append(shape(empty_database_url))
    for expected in reversed(shapes):
        assert shape(empty_database_url) == expected
        migrations.down()


def test_status_says_what_is_applied_and_what_is_missing(empty_database_url: str):
    shipped = shipped_migrations()
    Migrations(empty_database_url, shipped[:3]).up()
    status = Migrations(empty_database_url).status()
    assert [one.title for one in status] == [migration.title for migration in shipped]
    assert [one.applied_at is not None for one in status] == [True] * 3 + [False] * (len(shipped) - 3)


def test_a_second_up_applies_nothing(migrations: Migrations):
    assert migrations.up()
    assert migrations.up() == []


def test_many_ups_at_once_apply_each_migration_once(empty_database_url: str):
    with ThreadPoolExecutor(8) as threads:
        applied = list(threads.map(lambda _: Migrations(empty_database_url).up(), range(8)))
    titles = [title for one in applied for title in one]
    assert sorted(titles) == [migration.title for migration in shipped_migrations()]


def test_down_of_soft_deletes_refuses_while_the_trash_holds_something(migrations: Migrations, empty_database_url: str):
    migrations.up()
    run(
        empty_database_url,
        """
        INSERT INTO users (email, password_hash, timezone, created_at, updated_at)
        VALUES ('ann@example.org', '-', 'UTC', now(), now());
        INSERT INTO activities (user_id, version, activity_type, activity_date, timezone, local_date,
            duration_minutes, source, created_at, updated_at, deleted_at)
        SELECT id, 1, 'run', now(), 'UTC', now(), 30, 'manual', now(), now(), now() FROM users;
        """,
    )
    above = [one for one in shipped_migrations() if one.version > 6]
    migrations.down(len(above))
    before = shape(empty_database_url)
    with pytest.raises(MigrationRefused, match="006_add_soft_deletes: the trash is not empty"):
        migrations.down()
    assert shape(empty_database_url) == before
    run(empty_database_url, "UPDATE activities SET deleted_at = NULL")
    assert migrations.down() == ["006_add_soft_deletes"]


def test_a_migration_changed_after_it_was_applied_is_refused(migrations: Migrations, empty_database_url: str):
    migrations.up()
    shipped = shipped_migrations()
    shipped[2] = replace(shipped[2], up=shipped[2].up + "\n-- improved")
    with pytest.raises(MigrationRefused, match="003_index_activities was changed"):
        Migrations(empty_database_url, shipped).up()


def test_a_database_newer_than_the_service_is_refused(migrations: Migrations, empty_database_url: str):
    migrations.up()
    with pytest.raises(MigrationRefused, match="does not know"):
        Migrations(empty_database_url, shipped_migrations()[:-1]).up()


def test_a_failed_migration_leaves_nothing_behind_and_keeps_those_before_it(empty_database_url: str):
    good = Migration(1, "good", "CREATE TABLE good (id int)", "DROP TABLE good")
    bad = Migration(2, "bad", "CREATE TABLE bad (id int); SELECT 1 / 0", "DROP TABLE bad")
    migrations = Migrations(empty_database_url, [good, bad])
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrations.up()
    assert [one.applied_at is not None for one in migrations.status()] == [True, False]
    assert {row[0] for row in shape(empty_database_url)} == {"good"}


class TestWithoutTransaction:
    def test_each_statement_is_a_transaction_of_its_own(self, empty_database_url: str):
        statements = """-- no-transaction
-- Neither could be part of a transaction;
CREATE TABLE one (id int);
CREATE INDEX CONCURRENTLY ones
ON one (id);

DO $$
BEGIN
    INSERT INTO one VALUES (1);
    COMMIT;
END
$$;
VACUUM one"""
        migrations = Migrations(empty_database_url, [Migration(1, "one", statements, "DROP TABLE one")])
        assert migrations.up() == ["001_one"]
        assert ("one", "ones") in {row[:2] for row in shape(empty_database_url)}
        assert migrations.down() == ["001_one"]
        assert shape(empty_database_url) == []

    def test_one_that_failed_midway_is_repeated_from_its_first_statement(self, empty_database_url: str):
        run(empty_database_url, "CREATE TABLE one (id int); INSERT INTO one VALUES (1), (1)")
        statements = """-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS ones;
CREATE UNIQUE INDEX CONCURRENTLY ones ON one (id);
"""
        migrations = Migrations(empty_database_url, [Migration(1, "unique", statements, "DROP INDEX ones")])
        with pytest.raises(psycopg.errors.UniqueViolation):
            migrations.up()
        assert valid(empty_database_url, "ones") is False
        assert [one.applied_at for one in migrations.status()] == [None]
        run(empty_database_url, "DELETE FROM one")
        assert migrations.up() == ["001_unique"]
        assert valid(empty_database_url, "ones") is True

    def test_those_who_wait_for_their_turn_do_not_keep_an_index_from_being_made(self, empty_database_url: str):
        run(empty_database_url, "CREATE TABLE one (id int)")
        statements = "-- no-transaction\nCREATE INDEX CONCURRENTLY ones ON one (id);\n"
        shipped = [Migration(1, "index", statements, "DROP INDEX ones")]
        with ThreadPoolExecutor(4) as threads:
            applied = list(threads.map(lambda _: Migrations(empty_database_url, shipped).up(), range(4)))
        assert sorted(applied) == [[], [], [], ["001_index"]]

    def test_an_index_is_made_while_others_write(self, empty_database_url: str):
        """A write that came while an index is made waits for nothing, though the index waits for older ones."""
        shipped = shipped_migrations()
        Migrations(empty_database_url, shipped[:13]).up()
        run(empty_database_url, ANN)
        with (
            psycopg.connect(empty_database_url) as older,
            psycopg.connect(empty_database_url, autocommit=True) as later,
            ThreadPoolExecutor(1) as threads,
        ):
            older.execute(ONE_ACTIVITY)
            making = threads.submit(Migrations(empty_database_url, shipped[:14]).up)
            while not later.execute(WAITING).fetchone():
                assert not making.done()
            later.execute("SET statement_timeout = '5s'")
            later.execute(ONE_ACTIVITY)
            assert not making.done()
            older.commit()
            assert making.result() == ["014_index_listing"]
        assert valid(empty_database_url, "activities_listed") is True


def test_what_was_kept_before_the_search_columns_is_found_by_its_words_and_tags(empty_database_url: str):
    shipped = shipped_migrations()
    Migrations(empty_database_url, shipped[:11]).up()
    run(empty_database_url, ANN)
    run(
        empty_database_url,
        """
        INSERT INTO activities (user_id, version, activity_type, activity_date, timezone, local_date, duration_minutes,
            title, notes, tags, source, created_at, updated_at)
        SELECT id, 1, 'run', now(), 'UTC', now(), 30, 'Été', 'STRASSE', '{b,a}', 'manual', now(), now()
        FROM users
        """,
    )
    Migrations(empty_database_url, shipped).up()
    with psycopg.connect(empty_database_url) as connection:
        kept = connection.execute("SELECT version, search_text, search_tags FROM activities").fetchone()
    assert kept == (1, "ete\nstrasse", "\x1fb\x1fa\x1f")


ANN = """
    INSERT INTO users (email, password_hash, timezone, created_at, updated_at)
    VALUES ('ann@example.org', '-', 'UTC', now(), now())
"""

ONE_ACTIVITY = """
    INSERT INTO activities (user_id, version, activity_type, activity_date, timezone, local_date, duration_minutes,
        source, created_at, updated_at)
    SELECT id, 1, 'run', now(), 'UTC', now(), 30, 'manual', now(), now()
    FROM users
"""

WAITING = """
    SELECT pid
    FROM pg_stat_progress_create_index
    WHERE phase LIKE 'waiting for %'
"""


async def test_what_was_kept_before_the_totals_is_in_them(empty_database_url: str):
    """And a migration that was ended midway and is run again counts nothing twice."""
    shipped = shipped_migrations()
    before = [one.name for one in shipped].index("create_activity_totals")
    Migrations(empty_database_url, shipped[:before]).up()
    run(
        empty_database_url,
        """
        INSERT INTO users (email, password_hash, timezone, created_at, updated_at)
        SELECT n || '@example.org', '-', 'UTC', now(), now()
        FROM generate_series(1, 45) AS n
        """,
    )
    run(
        empty_database_url,
        """
        INSERT INTO activities (user_id, version, activity_type, activity_date, timezone, local_date, duration_minutes,
            distance_km, source, created_at, updated_at, deleted_at)
        SELECT 1 + n % 45, 1, 'run', timestamptz '2025-01-01' + n * interval '1 day', 'UTC', date '2025-01-01' + n, 30,
            n / 10.0, 'manual', now(), now(), CASE WHEN n % 10 = 0 THEN now() END
        FROM generate_series(1, 900) AS n
        """,
    )
    Migrations(empty_database_url, shipped[: before + 2]).up()
    run(empty_database_url, f"DELETE FROM schema_migrations WHERE version > {before + 1}")
    Migrations(empty_database_url, shipped[: before + 2]).up()
    add_totals = [one.name for one in shipped].index("fill_elapsed_totals")
    Migrations(empty_database_url, shipped[:add_totals]).up()
    run(empty_database_url, "UPDATE activities SET elapsed_minutes = 45 WHERE id % 3 = 0")
    Migrations(empty_database_url, shipped).up()
    (finding,) = await TotalsDiagnosis(empty_database_url).diagnose()
    assert finding.verdict is Verdict.GOOD
    with psycopg.connect(empty_database_url) as connection:
        counted = connection.execute("SELECT span, sum(activities) FROM activity_totals GROUP BY span ORDER BY span")
        assert counted.fetchall() == [("month", 810), ("week", 810)]
    assert valid(empty_database_url, "activities_listed")


def valid(url: str, index: str) -> bool:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [index])
        (is_valid,) = found.fetchone() or (False,)
    return bool(is_valid)


def test_the_job_queue_is_the_one_of_its_library(empty_database_url: str, databases: Databases):
    """In a database of its own, of which everything else is taken away."""
    shipped = shipped_migrations()
    before = next(one.version for one in shipped if one.name == "create_job_queue") - 1
    Migrations(empty_database_url, shipped[:before]).up()
    others = {*shape(empty_database_url), *types(empty_database_url)}
    Migrations(empty_database_url, shipped[: before + 1]).up()
    ours = {*shape(empty_database_url), *types(empty_database_url)} - others
    library = databases.make("template1")
    try:
        Migrations(databases.owner_url(library), []).up()
        run(databases.owner_url(library), SchemaManager.get_schema())
        assert ours == {*shape(databases.owner_url(library)), *types(databases.owner_url(library))}
    finally:
        databases.drop(library)


def types(url: str) -> list[tuple[object, ...]]:
    query = """
        SELECT typname, enumlabel, attname, format_type(atttypid, atttypmod), enumsortorder, attnum
        FROM pg_type
        LEFT JOIN pg_enum ON enumtypid = pg_type.oid
        LEFT JOIN pg_attribute ON attrelid = typrelid
        WHERE typnamespace = 'public'::regnamespace AND typtype IN ('c', 'e')
            AND (typrelid = 0 OR (SELECT relkind FROM pg_class WHERE oid = typrelid) = 'c')
    """
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()
