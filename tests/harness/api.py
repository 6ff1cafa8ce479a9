"""The service as its clients see it: the real application on real engines, called without a network."""

import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from argon2 import PasswordHasher
from dependency_injector import providers
from litestar import Litestar

from fitness.adapters.credentials.argon2 import Argon2PasswordHasher
from fitness.adapters.memory.credentials import InMemoryPasswordHasher
from fitness.adapters.memory.rate_limits import InMemoryRateLimiter
from fitness.adapters.postgres.database import Database
from fitness.adapters.redis.cache import RedisCache
from fitness.adapters.redis.client import closed, line_to
from fitness.adapters.redis.rate_limits import SCRIPT, RedisRateLimiter
from fitness.adapters.telemetry.exchange import MetricsExchange
from fitness.domain.model.users import Role
from fitness.domain.use_cases.caching.lease import LEASE_S, Lease
from fitness.entrypoints.http.app import create_app
from fitness.entrypoints.http.telemetry import MetricsDoor
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.resources import Resources
from fitness.ports.rate_limits import RateLimiterPort
from tests.harness.documented import judge
from tests.patience import PATIENCE_S

PASSWORD = "correct horse"
MEMORY = "memory:"
"""Used as both URLs, it makes `serving` work without engines."""
CHEAP_HASHER = Argon2PasswordHasher(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
"""Saves a tenth of a second for each registration and login; test_credentials.py tests the service's own hasher."""
PATIENT_S = 60.0
POSTGRES, REDIS = "postgres", "redis"
NOWHERE_REDIS = "redis://127.0.0.1:1"
NOWHERE_POSTGRES = "postgresql://127.0.0.1:1/fitness"

_numbers = count(1)


@dataclass(frozen=True)
class Person:
    """A user who is logged in."""

    http: httpx.AsyncClient
    id: int
    email: str
    token: str
    refresh_token: str = ""

    async def call(self, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | given.pop("headers", {})
        return await self.http.request(method, f"/api/v1{path}", headers=headers, **given)

    async def get(self, path: str, **given: Any) -> httpx.Response:
        return await self.call("GET", path, **given)

    async def post(self, path: str, **given: Any) -> httpx.Response:
        return await self.call("POST", path, **given)

    async def patch(self, path: str, **given: Any) -> httpx.Response:
        return await self.call("PATCH", path, **given)

    async def delete(self, path: str, **given: Any) -> httpx.Response:
        return await self.call("DELETE", path, **given)

    async def record(self, **stated: Any) -> dict[str, Any]:
        """Record an activity; the service's answer."""
        response = await self.post("/activities", json=activity_body(**stated))
        assert response.status_code == 201, response.text
        body: dict[str, Any] = response.json()
        return body

    async def upload(self, *contents: bytes, name: str = "recording", query: str = "", **given: Any) -> httpx.Response:
        """Import one file, or several files in one form."""
        files = [("file", (name, content)) for content in contents]
        return await self.post(f"/activities/import?{query}", files=files, **given)

    async def add_photo(self, activity_id: int, content: bytes, name: str = "photo", **texts: str) -> httpx.Response:
        """Add a picture to an activity; `texts` are the form's other fields, such as `caption`."""
        fields = {field: (None, text) for field, text in texts.items()}
        return await self.post(f"/activities/{activity_id}/photos", files={"file": (name, content), **fields})

    async def titles(self, query: str = "") -> list[str | None]:
        response = await self.get(f"/activities?{query}")
        assert response.status_code == 200, response.text
        return [one["title"] for one in response.json()["items"]]


@dataclass(frozen=True)
class Api:
    http: httpx.AsyncClient
    container: Container
    app: Litestar

    async def scrape(self, address: str = "127.0.0.1") -> httpx.Response:
        """The answer of the metrics' own listener."""
        door = MetricsDoor(self.container.metrics_exchange(), self.container.settings().metrics_allow)
        async with _client(door, address) as client:
            return await client.get("/metrics")

    def seen_from(self, address: str) -> "Api":
        """The same service for a client with this address, which has limits of its own."""
        return replace(self, http=_client(self.app, address))

    async def person(self, **stated: Any) -> Person:
        """A new account, with a session."""
        email = f"runner{next(_numbers)}@example.org"
        registration = {"email": email, "password": PASSWORD} | stated
        registered = await self.http.post("/api/v1/auth/register", json=registration)
        assert registered.status_code == 201, registered.text
        return await self.login(registered.json()["id"], email)

    async def login(self, user_id: int, email: str, password: str = PASSWORD) -> Person:
        """A new session of an account."""
        login = await self.http.post("/api/v1/auth/login", json={"email": email, "password": password})
        assert login.status_code == 200, login.text
        body = login.json()
        return Person(self.http, user_id, email, body["access_token"], body["refresh_token"] or "")

    async def admin(self) -> Person:
        person = await self.person()
        await self.container.administration().set_standing_as_operator(person.email, role=Role.ADMIN)
        return person


@dataclass(frozen=True)
class Stores:
    """The stores that the service is run on: values of its settings of these names."""

    database_url: str
    redis_url: str
    shared: bool = False
    """Whether all tests of a module that run on both kinds of stores share them."""


IN_MEMORY = Stores(MEMORY, MEMORY)


def activity_body(**stated: Any) -> dict[str, Any]:
    plain = {"activity_type": "run", "activity_date": "2026-11-20T12:30:00Z", "duration_minutes": 30}
    return plain | stated


@asynccontextmanager
async def serving(
    database_url: str,
    redis_url: str,
    *,
    limits_stand: bool = False,
    hasty_with: Collection[str] = (),
    prepare: Callable[[Container], object] = lambda _: None,
    **stated: Any,
) -> AsyncIterator[Api]:
    """The application without limits, unless `rate_limit_scale` is stated.

    With `limits_stand` no charge is refilled; otherwise a free account gets one more request each 0.6 s, and the rest
    depends on how fast the test is. The application waits long for PostgreSQL and Redis, since on a busy machine they
    miss the service's own deadlines for a moment. Those deadlines hold for the stores in `hasty_with`, in tests of
    stores that are down, and for the addresses NOWHERE_*. `prepare` may override what the container makes.
    """
    plain: dict[str, Any] = {"rate_limit_scale": 0.0, "state_redis_url": redis_url, "limits_redis_url": redis_url}
    with TemporaryDirectory(prefix="fitness-test-") as folder:
        settings = CompleteSettings(
            database_url=database_url,
            redis_url=redis_url,
            secret_keys=("k" * 32,),
            **{"data_dir": Path(folder)} | plain | stated,
        )
        container = Container(settings=settings, metrics_dir=Path(folder))
        hasher = InMemoryPasswordHasher() if settings.in_memory else CHEAP_HASHER
        container.password_hasher.override(providers.Object(hasher))
        _wait_longer(container, {*hasty_with, *_nowhere(database_url, redis_url)})
        if limits_stand:
            container.shared_limiter.override(_standing(container, in_memory=settings.in_memory))
        prepare(container)
        app = create_app(container)
        async with app.lifespan(), _client(app, "127.0.0.1") as client:
            yield Api(client, container, app)


def _nowhere(database_url: str, redis_url: str) -> list[str]:
    stores = (POSTGRES, database_url == NOWHERE_POSTGRES), (REDIS, redis_url == NOWHERE_REDIS)
    return [store for store, nowhere in stores if nowhere]


def _wait_longer(container: Container, hasty_with: Collection[str]) -> None:
    """Wait longer for the stores' answers; the process's lease is prolonged by the same factor."""
    settings = container.settings()

    def kept(close: Any, make: Any, url: str) -> "providers.Singleton[Any]":
        return providers.Singleton(Resources.keep, container.resources, close, make, url)

    container.metrics_exchange.override(
        providers.Singleton(
            MetricsExchange, container.metrics_dir, container.metrics.provided.render, answer_s=PATIENCE_S
        )
    )
    database, line = partial(Database, deadline_s=PATIENT_S), partial(line_to, deadline_s=PATIENT_S)
    if POSTGRES not in hasty_with:
        container.postgres.override(kept(Database.close, database, settings.database_url))
    if REDIS not in hasty_with:
        container.redis_cache.override(providers.Singleton(RedisCache, kept(closed, line, settings.redis_url)))
        container.limits_line.override(kept(closed, line, settings.limits_redis_url))
        container.state_line.override(kept(closed, line, settings.state_redis_url))
    if not hasty_with:
        container.postgres_for_leases.override(kept(Database.close, database, settings.database_url))
        slow_clock = providers.Object(lambda: time.monotonic() * LEASE_S / PATIENT_S)
        container.lease.override(providers.Singleton(Lease, container.cache_state, monotonic_s=slow_clock))


def _standing(container: Container, *, in_memory: bool) -> "providers.Provider[RateLimiterPort]":
    """The limiter with a stopped clock."""
    if in_memory:
        return providers.Singleton(InMemoryRateLimiter, lambda: 5_000.0)
    return providers.Singleton(RedisRateLimiter, container.limits_line, limits_script_at("{'1795000000', '0'}"))


def limits_script_at(time: str) -> str:
    """The limits' script with `time`, an expression of Lua, for Redis's clock. That goes on, so keys live longer."""
    script = SCRIPT.replace("redis.call('TIME')", time)
    lasting = script.replace("/ 1000) + 1000)", "/ 1000) + 600000)")
    assert (script != SCRIPT, lasting.count("600000"), lasting.count("PX") + lasting.count("PEXPIRE")) == (True, 4, 4)
    return lasting


def _client(app: Any, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=(address, 123))
    hooks = {"response": [judge(app)]} if isinstance(app, Litestar) else {}
    return httpx.AsyncClient(transport=transport, base_url="http://fitness", event_hooks=hooks)
