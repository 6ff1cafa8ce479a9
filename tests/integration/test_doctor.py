"""What `fitness doctor` says of stores that are set up well, badly or not at all."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from ops.local.service import own_folder

from fitness.adapters.embedded.engines import CACHE_SETTINGS, STATE_SETTINGS, EngineUrls
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.doctor import diagnose
from fitness.ports.health import Verdict
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
    write_to_disk(engines.database_url, "on")
    yield
    write_to_disk(engines.database_url, "off")


@pytest.fixture
def settings(database_url: str, cache: ValkeyServer, state: ValkeyServer) -> CompleteSettings:
    return complete(database_url, cache.url, state.url)


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


async def bad(settings: CompleteSettings) -> list[str]:
    """The findings that are not good."""
    found = await diagnose(settings)
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
    nowhere = complete(NOWHERE_POSTGRES, NOWHERE_REDIS, "redis://127.0.0.1:2")
    found = await bad(nowhere)
    assert [one.partition(": ")[0] for one in found] == ["wrong PostgreSQL", "wrong cache Redis", "wrong state Redis"]
    assert all("does not answer" in one for one in found)


async def test_an_old_schema_is_wrong(settings: CompleteSettings, empty_database_url: str):
    (found,) = await bad(replace(settings, database_url=empty_database_url))
    assert "001_create_users" in found
    assert "fitness migrate up" in found


async def test_a_postgresql_that_may_forget_or_is_too_small_is_wrong(settings: CompleteSettings):
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("ALTER ROLE fitness SET synchronous_commit = off")
        try:
            found = await bad(replace(settings, workers=50))
        finally:
            connection.execute("ALTER ROLE fitness RESET synchronous_commit")
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
            (found,) = await bad(settings)
        finally:
            connection.execute("DELETE FROM cache_outbox WHERE id = -1")
            connection.execute(states.format("%s", "%s"), before)
    assert found.startswith("doubtful cache state: the cache has been closed for 7 s, unconfirmed invalidations: 1;")
    assert "run id abc" in found
