"""Migrations that are refused change nothing, and those that are carried out disturb nobody."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import psycopg
import pytest

from fitness.adapters.postgres.database import DEADLINE_S
from fitness.adapters.postgres.migration_files import Migration, MigrationRefused, shipped_migrations
from fitness.adapters.postgres.migration_runner import TABLE_LOCK_TIMEOUT_MS, Migrations
from fitness.adapters.postgres.session import STATEMENT_TIMEOUT_MS
from tests.integration.test_migrations import ANN, ONE_ACTIVITY, WAITING, run, shape, valid
from tests.patience import PATIENCE_S

TRASHED = "UPDATE activities SET deleted_at = now()"
AUDITED = "INSERT INTO audit_log (at, action, subject_id, owner_id) VALUES (now(), 'purge', 1, 1)"
ACTIVITIES = 20_000
A_MOMENT_S = 0.3


@pytest.fixture
def url(empty_database_url: str) -> str:
    Migrations(empty_database_url).up()
    run(empty_database_url, ANN)
    run(empty_database_url, ONE_ACTIVITY)
    return empty_database_url


def above(version: int) -> int:
    """How many steps lead down to `version`."""
    return sum(one.version > version for one in shipped_migrations())


@contextmanager
def held(url: str, *statements: str) -> Iterator[psycopg.Connection[object]]:
    """A transaction that goes on after its statements."""
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield connection


class TestDown:
    def test_a_step_that_refuses_keeps_every_step_before_it_from_being_taken(self, url: str):
        run(url, TRASHED)
        before, applied = shape(url), Migrations(url).status()
        with pytest.raises(MigrationRefused, match=r"^006_add_soft_deletes: the trash .*; nothing was changed$"):
            Migrations(url).down(len(applied))
        assert (shape(url), Migrations(url).status()) == (before, applied)

    def test_an_audit_log_with_entries_is_kept(self, url: str):
        run(url, AUDITED)
        before = shape(url)
        with pytest.raises(
            MigrationRefused, match=r"^007_create_audit_log: .*--drop-audit-log.*; nothing was changed$"
        ):
            Migrations(url).down(above(6))
        assert shape(url) == before

    def test_an_audit_log_with_entries_goes_where_that_is_asked_for(self, url: str):
        run(url, AUDITED)
        assert Migrations(url).down(above(6), drop_audit_log=True)[-1] == "007_create_audit_log"

    def test_asking_for_the_audit_log_leaves_the_trash_alone(self, url: str):
        run(url, TRASHED)
        run(url, AUDITED)
        with pytest.raises(MigrationRefused, match=r"006_add_soft_deletes: .*; nothing was changed"):
            Migrations(url).down(above(5), drop_audit_log=True)

    def test_what_comes_between_the_look_ahead_and_the_step_is_kept_too(self, url: str):
        """014 waits for an older transaction, which fills the trash. It is no part of the transaction that refuses."""
        with held(url, "SELECT count(*) FROM activities") as older, ThreadPoolExecutor(1) as threads:
            taking = threads.submit(Migrations(url).down, above(5))
            _wait_for(url, WAITING_LOCK)
            older.execute(TRASHED.encode())
            older.commit()
            refusal = taking.exception()
        assert isinstance(refusal, MigrationRefused)
        assert str(refusal).startswith("006_add_soft_deletes: the trash is not empty")
        later = [one.title for one in shipped_migrations() if one.version >= 13]
        assert str(refusal).endswith(f"; only {', '.join(reversed(later))} had been taken back by then")
        assert [one.title for one in Migrations(url).status() if one.applied_at is None] == later
        assert Migrations(url).up() == later

    def test_steps_beyond_one_without_a_transaction_are_one_again(self, empty_database_url: str):
        shipped = [
            Migration(1, "refuses", "CREATE TABLE one ()", "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$"),
            Migration(2, "two", "CREATE TABLE two ()", "DROP TABLE two"),
            Migration(3, "alone", "CREATE TABLE three ()", "-- no-transaction\nDROP TABLE three"),
            Migration(4, "four", "CREATE TABLE four ()", "DROP TABLE four"),
        ]
        Migrations(empty_database_url, shipped).up()
        with pytest.raises(MigrationRefused, match=r"^001_refuses: no; only 004_four, 003_alone had been taken back"):
            Migrations(empty_database_url, shipped).down(4)
        applied = [one.applied_at is not None for one in Migrations(empty_database_url, shipped).status()]
        assert applied == [True, True, False, False]


class TestLocks:
    def test_a_step_that_waits_for_a_lock_gives_up_by_name_and_can_be_repeated(self, empty_database_url: str):
        shipped = shipped_migrations()
        Migrations(empty_database_url, shipped[:11]).up()
        migrations = Migrations(empty_database_url, lock_patience_s=A_MOMENT_S)
        with (
            held(empty_database_url, "SELECT count(*) FROM activities"),
            pytest.raises(
                MigrationRefused, match=r"^012_add_search_columns waited for a lock .* run the command again"
            ),
        ):
            migrations.up()
        assert [one.title for one in migrations.status() if one.applied_at][-1] == "011_create_cache_state"
        assert migrations.up() == [one.title for one in shipped[11:]]

    def test_a_step_gets_its_lock_once_a_transaction_has_ended_within_its_patience(self, empty_database_url: str):
        Migrations(empty_database_url, shipped_migrations()[:11]).up()
        with held(empty_database_url, "SELECT count(*) FROM activities") as older, ThreadPoolExecutor(1) as threads:
            going_up = threads.submit(Migrations(empty_database_url).up)
            _wait_for(empty_database_url, WAITING_LOCK)
            older.commit()
            assert going_up.result()[0] == "012_add_search_columns"

    def test_requests_behind_a_step_that_waits_are_late_and_not_refused(self, empty_database_url: str):
        Migrations(empty_database_url, shipped_migrations()[:11]).up()
        run(empty_database_url, ANN)
        with (
            held(empty_database_url, "SELECT count(*) FROM activities") as older,
            psycopg.connect(empty_database_url, autocommit=True) as later,
            ThreadPoolExecutor(1) as threads,
        ):
            going_up = threads.submit(Migrations(empty_database_url).up)
            for _ in range(3):
                _wait_for(empty_database_url, WAITING_LOCK)
                later.execute(ONE_ACTIVITY.encode())
                assert not going_up.done()
            assert DEADLINE_S * 1000 > TABLE_LOCK_TIMEOUT_MS
            older.commit()
            going_up.result()

    def test_an_index_made_concurrently_waits_for_older_transactions_as_long_as_they_last(
        self, empty_database_url: str
    ):
        shipped = shipped_migrations()
        Migrations(empty_database_url, shipped[:13]).up()
        run(empty_database_url, ANN)
        with held(empty_database_url, ONE_ACTIVITY) as older, ThreadPoolExecutor(1) as threads:
            making = threads.submit(Migrations(empty_database_url, lock_patience_s=0).up)
            _wait_for(empty_database_url, WAITING)
            time.sleep(1.0)
            assert not making.done()
            older.commit()
            assert making.result() == [one.title for one in shipped[13:]]
        assert valid(empty_database_url, "activities_listed") is True

    def test_a_step_after_an_index_made_concurrently_waits_no_longer_than_others(self, empty_database_url: str):
        run(empty_database_url, "CREATE TABLE one (id int)")
        index = "-- no-transaction\nCREATE INDEX CONCURRENTLY ones ON one (id);\n"
        shipped = [
            Migration(1, "index", index, "DROP INDEX ones"),
            Migration(2, "drop", "LOCK TABLE two", "SELECT 1"),
        ]
        run(empty_database_url, "CREATE TABLE two ()")
        with (
            held(empty_database_url, "LOCK TABLE two"),
            pytest.raises(MigrationRefused, match=r"^002_drop waited for a lock"),
        ):
            Migrations(empty_database_url, shipped, lock_patience_s=0).up()


def test_a_database_newer_than_the_service_has_a_status(url: str):
    status = Migrations(url, shipped_migrations()[:-1]).status()
    assert status[-1].title == shipped_migrations()[-1].title
    assert all(one.applied_at for one in status)


def test_no_write_fails_and_none_is_lost_while_the_schema_goes_up(empty_database_url: str):
    """Writers with the service's own timeouts."""
    url = empty_database_url
    Migrations(url, shipped_migrations()[:11]).up()
    run(url, ANN)
    run(url, ONE_ACTIVITY.replace("FROM users", f"FROM users, generate_series(1, {ACTIVITIES})"))
    over, written = Event(), [0, 0]
    with ThreadPoolExecutor(2) as threads:
        writers = [threads.submit(_write, url, over, written, number) for number in range(2)]
        try:
            _wait_until(lambda: min(written) > 10)
            before = list(written)
            Migrations(url).up()
            during = [now - then for now, then in zip(written, before, strict=True)]
        finally:
            over.set()
        for writer in writers:
            writer.result()
    assert min(during) > 0
    with psycopg.connect(url) as connection:
        kept = connection.execute(
            """
            SELECT count(*), sum(version - 1), count(*) FILTER (WHERE search_text IS NULL OR search_tags IS NULL)
            FROM activities
            """
        ).fetchone()
    assert kept == (ACTIVITIES + sum(written), sum(written), 0)


WAITING_LOCK = """
    SELECT pid
    FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


def _write(url: str, over: Event, written: list[int], number: int) -> None:
    """Record one activity and change another one, again and again."""
    options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
    with psycopg.connect(url, autocommit=True, options=options) as connection:
        while not over.is_set():
            with connection.transaction():
                connection.execute(ONE_ACTIVITY.encode())
                changed = 1 + (written[number] * 37 + number) % ACTIVITIES
                connection.execute(
                    "UPDATE activities SET version = version + 1, title = 'Évening' WHERE id = %s", [changed]
                )
            written[number] += 1


def _wait_for(url: str, query: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        _wait_until(lambda: connection.execute(query.encode()).fetchone() is not None)


def _wait_until(is_so: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
