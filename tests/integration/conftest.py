"""Real engines: one PostgreSQL and one Valkey for the whole run, an empty database and an empty cache for each test."""

from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

import psycopg
import pytest
import redis
from ops.local.proxy import nginx
from ops.local.service import own_folder
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from redis.asyncio import Redis

from fitness.adapters.embedded.engines import EngineUrls, running_engines
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.migration_runner import Migrations
from fitness.adapters.redis.client import AnyLine, connected, line_to
from tests.harness.api import IN_MEMORY, Api, Person, Stores, serving

# On which adapters the HTTP tests run.
ADAPTERS = ["memory", "engines"]

# `make proxy` asks for nginx; CI has none.
collect_ignore = [] if nginx() else ["test_proxy.py"]

_numbers = count(1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of the `api` runs once on each kind of adapters, or on engines only if it looks into them itself."""
    if "stores" not in metafunc.fixturenames:
        return
    needs_engines = "engines" in metafunc.fixturenames or metafunc.definition.get_closest_marker("engines")
    on_engines = pytest.param("engines", marks=pytest.mark.engines)
    kinds = ["engines"] if needs_engines else ADAPTERS
    metafunc.parametrize("stores", [on_engines if kind == "engines" else kind for kind in kinds], indirect=True)


@pytest.fixture(scope="session")
def engines() -> Iterator[EngineUrls]:
    with own_folder() as folder, running_engines(folder) as urls:
        yield urls


@pytest.fixture
def folder() -> Iterator[Path]:
    with own_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def template(engines: EngineUrls) -> str:
    """The name of a migrated database, of which each test gets a copy."""
    _execute(engines, "CREATE DATABASE template_fitness")
    owner_url, url = (
        make_conninfo(one, dbname="template_fitness") for one in (engines.owner_database_url, engines.database_url)
    )
    Migrations(owner_url, service_url=url).up()
    return "template_fitness"


@pytest.fixture
def empty_database_url(engines: EngineUrls) -> Iterator[str]:
    """A database of one's own without any table, as its owner."""
    yield from _database(engines, "template1")


@pytest.fixture
def owner_url(engines: EngineUrls, template: str) -> Iterator[str]:
    """A migrated database of one's own, as its owner."""
    yield from _database(engines, template)


@pytest.fixture
def database_url(engines: EngineUrls, owner_url: str) -> str:
    """The database of `owner_url`, as the service's role, which owns nothing."""
    return make_conninfo(engines.database_url, dbname=conninfo_to_dict(owner_url)["dbname"])


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def redis_url(engines: EngineUrls) -> str:
    """The cache, emptied."""
    with redis.Redis.from_url(engines.redis_url) as client:
        client.flushdb()
    return engines.redis_url


@pytest.fixture
async def valkey(redis_url: str) -> AsyncIterator[Redis]:
    client = connected(redis_url)
    assert isinstance(client, Redis)
    yield client
    await client.aclose()


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[AnyLine]:
    line = line_to(redis_url)
    yield line
    await line.aclose()


@pytest.fixture
def stores(request: pytest.FixtureRequest) -> Stores:
    """Empty ones, of the kind that `pytest_generate_tests` chose."""
    if request.param == "memory":
        return IN_MEMORY
    return Stores(request.getfixturevalue("database_url"), request.getfixturevalue("redis_url"))


@pytest.fixture
def api(stores: Stores, request: pytest.FixtureRequest) -> Api:
    """The service on empty stores, seen from an address of which no limit is used up.

    On memory one application serves all tests of a module, so they must leave it whole; see `own_api`.
    """
    if stores == IN_MEMORY:
        shared: Api = request.getfixturevalue("shared_api")
        shared.container.store().clear()
        return shared.seen_from(str(IPv4Address("127.0.1.0") + next(_numbers)))
    own: Api = request.getfixturevalue("own_api")
    return own


@pytest.fixture(scope="module")
async def shared_api() -> AsyncIterator[Api]:
    async with serving(IN_MEMORY.database_url, IN_MEMORY.redis_url) as api:
        yield api


@pytest.fixture
async def own_api(stores: Stores) -> AsyncIterator[Api]:
    """A service for one test, which may break it."""
    async with serving(stores.database_url, stores.redis_url) as api:
        yield api


@pytest.fixture
async def ann(api: Api) -> Person:
    return await api.person()


@pytest.fixture
async def bob(api: Api) -> Person:
    return await api.person()


def _database(engines: EngineUrls, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    _execute(engines, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield make_conninfo(engines.owner_database_url, dbname=name)
    _execute(engines, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(engines: EngineUrls, statement: str) -> None:
    with psycopg.connect(engines.owner_database_url, autocommit=True) as connection:
        connection.execute(statement.encode())
