"""What `fitness doctor` says of stores that are set up well, badly or not at all."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ops.local.service import own_folder
from psycopg.conninfo import make_conninfo

from fitness.adapters.embedded.engines import CACHE_SETTINGS, SERVICE, STATE_SETTINGS, EngineUrls
from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.migration_files import shipped_migrations
from fitness.adapters.postgres.migration_runner import Migrations
from fitness.adapters.postgres.statistics import PostgresStatisticsRepo
from fitness.adapters.postgres.users import PostgresUserRepo
from fitness.domain.model.audit_chain import ChainHead
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.doctor import diagnose
from fitness.ports.health import Verdict
from tests.builders import NOW, a_registration, an_activity, messages
from tests.harness.api import NOWHERE_POSTGRES, NOWHERE_REDIS
from tests.harness.databases import write_to_disk
from tests.harness.servers import ValkeyServer


@pytest.fixture(scope="module")
def cache() -> Iterator[ValkeyServer]:
    yield from _server(CACHE_SETTINGS)


@pytest.fixture(scope="module")
def state() -> Iterator[ValkeyServer]:
    yield from _server(STATE_SETTINGS)


@pytest.fixture(scope="module", autouse=True)
def durable(engines: EngineUrls) -> Iterator[None]:
    """PostgreSQL as a service runs it; the other tests do not wait for the disk."""
    write_to_disk(engines.owner_database_url, "on")
    yield
    write_to_disk(engines.owner_database_url, "off")


@pytest.fixture
def settings(database_url: str, cache: ValkeyServer, state: ValkeyServer, tmp_path: Path) -> CompleteSettings:
    return replace(complete(database_url, cache.url, state.url), data_dir=tmp_path)


def complete(database_url: str, redis_url: str, state_redis_url: str) -> CompleteSettings:
    return CompleteSettings(
        database_url=database_url,
        redis_url=redis_url,
        state_redis_url=state_redis_url,
        limits_redis_url=state_redis_url,
        secret_keys=("k" * 32,),
    )


def _server(settings: dict[str, str]) -> Iterator[ValkeyServer]:
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with own_folder() as folder:
        server = ValkeyServer(folder / "valkey", *options)
        server.start()
        yield server
        server.kill()


async def bad(settings: CompleteSettings, **given: Any) -> list[str]:
    """The findings that are not good."""
    found = await diagnose(settings, **given)
    return [
        f"{finding.verdict} {store}: {finding.message}"
        for store, findings in found.items()
        for finding in findings
        if finding.verdict is not Verdict.GOOD
    ]


async def test_stores_set_up_as_the_embedded_ones_are_good(settings: CompleteSettings):
    assert await bad(settings) == []


@pytest.mark.parametrize(
    ("which", "setting", "value", "said"),
    [
        ("cache", "maxmemory", "0", "wrong cache Redis: maxmemory is not set"),
        ("cache", "maxmemory-policy", "noeviction", "wrong cache Redis: maxmemory-policy is noeviction"),
        ("cache", "save", "60 1000", "doubtful cache Redis: save is '60 1000'"),
        ("cache", "appendonly", "yes", "doubtful cache Redis: appendonly is on"),
        ("state", "maxmemory-policy", "allkeys-lru", "wrong state Redis: maxmemory-policy is allkeys-lru"),
        ("state", "appendonly", "no", "wrong state Redis: appendonly is off"),
        ("state", "appendfsync", "no", "doubtful state Redis: appendfsync is no"),
    ],
)
async def test_a_setting_that_does_not_fit_the_purpose_is_named(
    settings: CompleteSettings,
    cache: ValkeyServer,
    state: ValkeyServer,
    which: str,
    setting: str,
    value: str,
    said: str,
):
    server = {"cache": cache, "state": state}[which]
    server.do("CONFIG", "SET", setting, value)
    try:
        (found,) = await bad(settings)
    finally:
        server.do("CONFIG", "SET", setting, (CACHE_SETTINGS if which == "cache" else STATE_SETTINGS)[setting])
    assert found.startswith(said)


async def test_one_redis_for_both_purposes_is_doubtful(settings: CompleteSettings):
    (found,) = await bad(replace(settings, state_redis_url=settings.redis_url))
    assert found.startswith("doubtful state Redis: cache, limits and sessions share this Redis")


async def test_a_redis_for_the_limits_alone_is_looked_at_as_well(settings: CompleteSettings):
    assert "limits Redis" not in await diagnose(settings)
    (found,) = await bad(replace(settings, limits_redis_url=settings.redis_url))
    assert found.startswith("doubtful limits Redis: cache and limits share this Redis")
    *_, found = await bad(replace(settings, limits_redis_url="redis://127.0.0.1:2"))
    assert found.startswith("wrong limits Redis: does not answer")


async def test_a_redis_that_keeps_its_settings_to_itself_is_doubtful(settings: CompleteSettings, cache: ValkeyServer):
    cache.do("ACL", "SETUSER", "guest", "on", ">secret", "~*", "+@all", "-config")
    (found,) = await bad(replace(settings, redis_url=cache.url.replace("unix://", "unix://guest:secret@")))
    assert found.startswith("doubtful cache Redis: does not show its settings")


async def test_stores_that_do_not_answer_are_wrong(settings: CompleteSettings):
    nowhere = replace(complete(NOWHERE_POSTGRES, NOWHERE_REDIS, "redis://127.0.0.1:2"), data_dir=Path("/dev/null"))
    found = await bad(nowhere)
    stores = ["PostgreSQL", "cache Redis", "state Redis", "files"]
    assert [one.partition(": ")[0] for one in found] == [f"wrong {store}" for store in stores]
    assert all("does not answer" in one for one in found)


async def test_an_old_schema_is_wrong(settings: CompleteSettings, empty_database_url: str):
    empty = make_conninfo(empty_database_url, user=SERVICE)
    (found,) = await bad(replace(settings, database_url=empty))
    assert "001_create_users" in found
    assert "fitness migrate up" in found


async def test_a_postgresql_that_may_forget_or_is_too_small_is_wrong(settings: CompleteSettings, owner_url: str):
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("ALTER ROLE fitness_service SET synchronous_commit = off")
        try:
            found = await bad(replace(settings, workers=50))
        finally:
            connection.execute("ALTER ROLE fitness_service RESET synchronous_commit")
    assert [one.partition(" is ")[0] for one in found] == [
        "wrong PostgreSQL: synchronous_commit",
        "wrong PostgreSQL: max_connections",
    ]


async def test_a_closed_cache_is_doubtful_and_a_shown_run_id_is_the_one_that_counts(settings: CompleteSettings):
    states = "UPDATE cache_state SET run_id = {}, closed_at = {}"
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        before = connection.execute("SELECT run_id, closed_at FROM cache_state").fetchone()
        try:
            connection.execute(states.format("'abc'", "clock_timestamp() - interval '7 s'"))
            connection.execute("INSERT INTO cache_outbox (id, scopes, unconfirmed) VALUES (-1, '{}', true)")
            began_s = time.monotonic()
            (found,) = await bad(settings)
            took_s = time.monotonic() - began_s
        finally:
            connection.execute("DELETE FROM cache_outbox WHERE id = -1")
            connection.execute(states.format("%s", "%s"), before)
    sentence = r"doubtful cache state: the cache has been closed for (\d+) s, unconfirmed invalidations: 1;"
    said = re.match(sentence, found)
    assert said, found
    assert 7 <= int(said[1]) <= 8 + took_s
    assert "run id abc" in found


AUDITED = """
    INSERT INTO audit_log (at, action, subject_id, owner_id, reason)
    SELECT now(), 'activity_purged', n, 1, 'spam'
    FROM generate_series(1, 5) AS n
"""


async def noted_head(settings: CompleteSettings) -> ChainHead:
    """As an operator copies it from what doctor says."""
    (found,) = (await diagnose(settings))["audit log"]
    assert found.message.startswith("5 entries, none changed or missing; the last is ")
    return ChainHead.parse(found.message.rpartition(" ")[2])


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit_log SET reason = 'none' WHERE position = 3", "entry 3 at position 3 was changed"),
        ("UPDATE audit_log SET at = at - interval '1 us' WHERE position = 5", "entry 5 at position 5 was changed"),
        ("DELETE FROM audit_log WHERE position = 2", "the entry at position 2 is missing: the next one is entry 3"),
        ("DELETE FROM audit_log WHERE position > 3", "the last entry is at position 3, and the head says 5:"),
        ("DELETE FROM audit_log", "the last entry is at position 0, and the head says 5:"),
        ("DELETE FROM audit_head", "audit_head is empty"),
    ],
)
async def test_an_audit_log_that_its_owner_tampered_with_is_wrong(
    settings: CompleteSettings, owner_url: str, statement: str, said: str
):
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(AUDITED)
        assert await bad(settings) == []
        owner.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only")
        owner.execute(statement.encode())
    (found,) = await bad(settings)
    assert found.startswith(f"wrong audit log: {said}")


async def test_an_end_that_was_noted_shows_a_log_that_was_written_anew(settings: CompleteSettings, owner_url: str):
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(AUDITED)
        noted = await noted_head(settings)
        assert await bad(settings, audit_head=noted) == []
        owner.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only")
        owner.execute("TRUNCATE audit_log")
        owner.execute("UPDATE audit_head SET position = 0, hash = decode(repeat('00', 32), 'hex')")
        owner.execute(AUDITED)
    assert await bad(settings) == []
    (found,) = await bad(settings, audit_head=noted)
    assert "entry 10 at position 5 is not the one that was noted" in found


async def test_entries_from_before_the_chain_are_chained_as_they_were(settings: CompleteSettings, owner_url: str):
    migrations = Migrations(owner_url, service_url=settings.database_url)
    with psycopg.connect(owner_url, autocommit=True) as owner:
        migrations.down(sum(one.version >= 16 for one in shipped_migrations()))
        owner.execute(AUDITED)
        assert migrations.up()[-1] == shipped_migrations()[-1].title
        owner.execute(AUDITED)
    (found,) = (await diagnose(settings))["audit log"]
    assert (found.verdict, found.message[:10]) == (Verdict.GOOD, "10 entries")


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("log_error_verbosity", "verbose", "set log_error_verbosity = terse"),
        ("log_parameter_max_length_on_error", "64", "set log_parameter_max_length_on_error = 0"),
    ],
)
async def test_a_postgresql_whose_log_shows_values_is_doubtful(
    settings: CompleteSettings, owner_url: str, setting: str, value: str, said: str
):
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE fitness_service SET {setting} = {value}".encode())
        try:
            (found,) = await bad(settings)
        finally:
            connection.execute(f"ALTER ROLE fitness_service RESET {setting}".encode())
    assert found.startswith("doubtful PostgreSQL: its log shows values")
    assert said in found


@pytest.mark.parametrize("opened", ["log", "log/postgres.log", "secret_key"])
async def test_a_log_or_a_secret_that_others_can_read_is_wrong(settings: CompleteSettings, tmp_path: Path, opened: str):
    (tmp_path / "log").mkdir(mode=0o700)
    for name in ("log/postgres.log", "secret_key"):
        (tmp_path / name).touch(0o600)
    assert await bad(settings, data_dir=tmp_path) == []
    (tmp_path / opened).chmod(0o740)
    (found,) = await bad(settings, data_dir=tmp_path)
    assert found.startswith("wrong data folder: others on this machine can read logs or data")
    assert found.endswith(f"chmod go-rwx {tmp_path / opened}")


async def test_totals_that_are_not_what_the_activities_add_up_to_are_found_and_mended(
    settings: CompleteSettings, owner_url: str, database: Database
):
    users, repo = PostgresUserRepo(database), PostgresActivityRepo(database)
    people = [await users.add(a_registration(), password_hash="-", at=NOW) for _ in range(3)]
    for person in people:
        for distance in (5.0, None):
            activity = an_activity(user_id=person.id, distance_km=distance, elevation_gain_m=1.5)
            await repo.add(activity, messages=messages())
    assert await bad(settings) == []
    wrong = (
        "UPDATE activity_totals SET distance_m = distance_m + 1 WHERE user_id = %(id)s AND span = 'week'",
        "UPDATE activity_totals SET elapsed = elapsed + 1 WHERE user_id = %(id)s AND span = 'week'",
        "UPDATE activity_totals SET days = days * 2 WHERE user_id = %(id)s AND span = 'week'",
        "UPDATE activity_totals SET longest = longest - 1 WHERE user_id = %(id)s AND span = 'week'",
        "DELETE FROM activity_totals WHERE user_id = %(id)s AND span = 'month'",
        "UPDATE activity_totals SET starts_on = starts_on + 1 WHERE user_id = %(id)s AND span = 'week'",
    )
    for statement in wrong:
        with psycopg.connect(owner_url, autocommit=True) as connection:
            connection.execute(statement.encode(), {"id": people[1].id})
        (found,) = await bad(settings)
        assert re.match(rf"wrong totals: [12] totals of 1 accounts, from user {people[1].id} on", found), statement
        assert found.endswith("run `fitness stats rebuild`")
        statistics = PostgresStatisticsRepo(database)
        after: int | None = 0
        while after is not None:
            after = await statistics.rebuild(after=after)
        assert await bad(settings) == []


@pytest.mark.parametrize("change", ["DELETE FROM activities", "UPDATE activities SET activity_type = 'transition'"])
async def test_totals_stay_right_whoever_changes_activities(
    settings: CompleteSettings, owner_url: str, database: Database, change: str
):
    owner = await PostgresUserRepo(database).add(a_registration(), password_hash="-", at=NOW)
    await PostgresActivityRepo(database).add_all(
        [an_activity(user_id=owner.id, distance_km=number / 8) for number in range(30)], messages=messages()
    )
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(f"{change} WHERE distance_km < 2".encode())
        row = connection.execute("SELECT sum(activities) FROM activity_totals WHERE span = 'week'").fetchone()
    assert row == (14,)
    assert await bad(settings) == []
