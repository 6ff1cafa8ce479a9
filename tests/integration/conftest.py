"""Real engines: one PostgreSQL and one Valkey for the whole run, an empty database and an empty cache for each test."""

from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from ops.local.proxy import nginx
from ops.local.service import own_folder
from redis.asyncio import Redis

from fitness.adapters.embedded.engines import EngineUrls, running_engines
from fitness.adapters.postgres.database import Database
from fitness.adapters.redis.client import AnyLine, connected, line_to
from tests.harness.api import IN_MEMORY, PATIENT_S, Api, Person, Stores, serving
from tests.harness.databases import Databases, write_to_disk
from tests.harness.servers import answered
from tests.patience import PATIENCE_S

# `make proxy` asks for nginx; CI has none.
collect_ignore = [] if nginx() else ["test_proxy.py"]

_numbers = count(1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of the `api` runs once on each kind of adapters, or on engines only if it looks into them itself."""
    if "stores" not in metafunc.fixturenames:
        return
    given = metafunc.fixturenames
    needs_engines = "engines" in given or metafunc.definition.get_closest_marker("engines")
    shares = not needs_engines and "api" in given and "own_api" not in given
    on_engines = pytest.param("shared engines" if shares else "engines", marks=pytest.mark.engines, id="engines")
    metafunc.parametrize("stores", [on_engines] if needs_engines else ["memory", on_engines], indirect=True)


@pytest.fixture(scope="session")
def engines() -> Iterator[EngineUrls]:
    with own_folder() as folder, running_engines(folder) as urls:
        write_to_disk(urls.owner_database_url, "off")
        yield urls


@pytest.fixture
def folder() -> Iterator[Path]:
    with own_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def databases(engines: EngineUrls) -> Databases:
    return Databases(engines)


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """A database of one's own without any table, as its owner."""
    name = databases.make("template1")
    yield databases.owner_url(name)
    databases.drop(name)


@pytest.fixture
def lent(databases: Databases) -> Iterator[str]:
    """The name of a migrated database of one's own."""
    name = databases.lend()
    yield name
    databases.take_back(name)


@pytest.fixture
def owner_url(databases: Databases, lent: str) -> str:
    """A migrated database of one's own, as its owner."""
    return databases.owner_url(lent)


@pytest.fixture
def database_url(databases: Databases, lent: str) -> str:
    """The database of `owner_url`, as the service's role, which owns nothing."""
    return databases.url(lent)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, deadline_s=PATIENT_S)
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
    client = connected(redis_url, socket_timeout=PATIENCE_S)
    assert isinstance(client, Redis)
    yield client
    await client.aclose()


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[AnyLine]:
    line = line_to(redis_url, PATIENT_S)
    await answered(line)
    yield line
    await line.aclose()


@pytest.fixture
def stores(request: pytest.FixtureRequest) -> Stores:
    """Empty ones, of the kind that `pytest_generate_tests` chose."""
    if request.param == "memory":
        return IN_MEMORY
    if request.param == "shared engines":
        shared: Stores = request.getfixturevalue("shared_stores")
        return shared
    return Stores(request.getfixturevalue("database_url"), request.getfixturevalue("redis_url"))


@pytest.fixture(scope="module")
def served_with() -> dict[str, Any]:
    """What `serving` is to be told; for a module to override."""
    return {}


@pytest.fixture
def api(stores: Stores, request: pytest.FixtureRequest) -> Api:
    """The service on empty stores, seen from an address of which no limit is used up.

    One application serves all tests of a module that run on both kinds of stores, since to make one takes longer than
    most tests. So they must leave it whole; see `own_api`.
    """
    if stores == IN_MEMORY:
        in_memory: Api = request.getfixturevalue("api_in_memory")
        in_memory.container.store().clear()
        return in_memory.seen_from(_next_address())
    if stores.shared:
        on_engines: Api = request.getfixturevalue("api_on_engines")
        return on_engines.seen_from(_next_address())
    own: Api = request.getfixturevalue("own_api")
    return own


def _next_address() -> str:
    return str(IPv4Address("127.0.1.0") + next(_numbers))


@pytest.fixture
async def own_api(stores: Stores, served_with: dict[str, Any]) -> AsyncIterator[Api]:
    """A service for one test, which may break it."""
    async with serving(stores.database_url, stores.redis_url, **served_with) as api:
        yield api


@pytest.fixture(scope="module")
async def api_in_memory(served_with: dict[str, Any]) -> AsyncIterator[Api]:
    async with serving(IN_MEMORY.database_url, IN_MEMORY.redis_url, **served_with) as api:
        yield api


@pytest.fixture(scope="module")
def shared_database(databases: Databases) -> Iterator[str]:
    """The name of a migrated database for all tests of a module."""
    name = databases.lend()
    yield name
    databases.take_back(name)


@pytest.fixture
def shared_stores(databases: Databases, shared_database: str, redis_url: str) -> Stores:
    databases.clear(shared_database)
    return Stores(databases.url(shared_database), redis_url, shared=True)


@pytest.fixture(scope="module")
async def api_on_engines(
    engines: EngineUrls, databases: Databases, shared_database: str, served_with: dict[str, Any]
) -> AsyncIterator[Api]:
    async with serving(databases.url(shared_database), engines.redis_url, **served_with) as api:
        yield api


@pytest.fixture
async def ann(api: Api) -> Person:
    return await api.person()


@pytest.fixture
async def bob(api: Api) -> Person:
    return await api.person()
