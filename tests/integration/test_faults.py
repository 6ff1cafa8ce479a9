"""What clients see while Redis or PostgreSQL is frozen, killed, emptied, cut off or talking nonsense, under load."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from fitness.adapters.postgres.migration_runner import Migrations
from tests.harness.api import POSTGRES, REDIS, Api, Person, activity_body, serving
from tests.harness.load import (
    ACTIVITIES,
    READERS,
    Load,
    agrees_with_the_database,
    eventually,
    outbox_relayed,
    under_load,
)
from tests.harness.servers import PostgresServer, Proxy, ValkeyServer
from tests.patience import PATIENCE_S

CLIENTS = READERS + ACTIVITIES // 2 + 3
"""Readers, writers and creators."""


async def cached_again(person: Person, path: str) -> None:
    """Returns once reads go through the cache again."""

    async def cached() -> bool:
        return (await person.get(path)).headers.get("x-cache") in ("HIT", "MISS")

    await eventually(cached)


async def answered_again(person: Person) -> None:
    """Returns once a write goes through again."""

    async def answered() -> bool:
        return (await person.post("/activities", json=activity_body(title="back"))).status_code == 201

    await eventually(answered)


@pytest.fixture
def own_valkey(folder: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(folder / "valkey")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def proxy(own_valkey: ValkeyServer) -> AsyncIterator[Proxy]:
    async with Proxy(own_valkey.socket).running() as proxy:
        yield proxy


# How long each fault lasts is a part of it; nothing is expected to have happened by then.
Fault = Callable[[ValkeyServer, Proxy], Awaitable[None]]


async def frozen(server: ValkeyServer, _: Proxy) -> None:
    server.freeze()
    await asyncio.sleep(1.5)
    server.thaw()


async def killed(server: ValkeyServer, proxy: Proxy) -> None:
    server.kill()
    proxy.cut()
    await asyncio.sleep(1.0)
    await asyncio.to_thread(server.start)


async def killed_and_back_from_its_file(server: ValkeyServer, proxy: Proxy) -> None:
    """As a cache should not be run: it comes back with what it held a moment before."""
    await asyncio.to_thread(server.do, "CONFIG", "SET", "appendonly", "yes")
    await asyncio.to_thread(wait_until_kept_in_its_file, server)
    server.kill()
    proxy.cut()
    server.options = ("--appendonly", "yes")
    await asyncio.to_thread(server.start)


def wait_until_kept_in_its_file(server: ValkeyServer) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    done = {"aof_enabled": 1, "aof_rewrite_scheduled": 0, "aof_rewrite_in_progress": 0}
    while not isinstance(facts := server.do("INFO", "persistence"), dict) or not done.items() <= facts.items():
        assert time.monotonic() < give_up_s, facts
        time.sleep(0.02)


async def flushed(server: ValkeyServer, _: Proxy) -> None:
    for _time in range(20):
        await asyncio.to_thread(server.do, "FLUSHALL")
        await asyncio.sleep(0.05)


async def paused(server: ValkeyServer, _: Proxy) -> None:
    await asyncio.to_thread(server.do, "CLIENT", "PAUSE", "1000", "ALL")
    await asyncio.sleep(1.0)


async def out_of_memory(server: ValkeyServer, _: Proxy) -> None:
    await asyncio.to_thread(server.do, "CONFIG", "SET", "maxmemory", "1mb")
    await asyncio.sleep(1.0)
    await asyncio.to_thread(server.do, "CONFIG", "SET", "maxmemory", "0")


async def wrong_password(server: ValkeyServer, proxy: Proxy) -> None:
    await asyncio.to_thread(server.do, "CONFIG", "SET", "requirepass", "changed")
    proxy.cut()
    await asyncio.sleep(1.0)
    server.kill()
    await asyncio.to_thread(server.start)


async def never_answering(_: ValkeyServer, proxy: Proxy) -> None:
    proxy.mode = "swallow"
    await asyncio.sleep(1.5)
    proxy.mode = "pass"
    proxy.cut()


async def truncating(_: ValkeyServer, proxy: Proxy) -> None:
    proxy.mode = "truncate"
    await asyncio.sleep(1.5)
    proxy.mode = "pass"
    proxy.cut()


async def cutting(_: ValkeyServer, proxy: Proxy) -> None:
    for _time in range(30):
        proxy.cut()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "fault",
    [
        frozen,
        killed,
        killed_and_back_from_its_file,
        flushed,
        paused,
        out_of_memory,
        wrong_password,
        never_answering,
        truncating,
        cutting,
    ],
    ids=lambda fault: fault.__name__,
)
async def test_a_fault_of_redis_shows_nothing_old_wrong_or_broken(
    database_url: str, own_valkey: ValkeyServer, proxy: Proxy, fault: Fault
):
    async with serving(database_url, proxy.url, hasty_with=[REDIS]) as api:
        async with under_load(api) as load:
            await fault(own_valkey, proxy)
            person = load.people[0]
            await cached_again(person, "/activities")
            await load.go_on(200)
        assert load.wrong == []
        assert load.unavailable == 0
        await outbox_relayed(api)
        await agrees_with_the_database(api, load)


async def test_clients_who_go_away_at_any_moment_mix_nothing_up(api: Api):
    async with under_load(api) as load:
        for _ in range(300):
            activity_id = random.choice(load.ids)
            person = load.owners[activity_id]
            calls: list[Awaitable[object]] = [
                person.get(f"/activities/{activity_id}"),
                person.get("/activities?limit=3"),
                person.post("/activities", json=activity_body(title="gone")),
            ]
            tasks = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(random.random() * 0.004)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    assert load.wrong == []
    await outbox_relayed(api)
    await agrees_with_the_database(api, load)


@pytest.fixture
def own_postgres(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder / "postgres")
    server.start()
    Migrations(server.url).up()
    yield server
    server.kill()


async def test_a_frozen_postgresql_is_answered_for_while_it_is_frozen(
    own_postgres: PostgresServer, own_valkey: ValkeyServer
):
    async with serving(own_postgres.url, own_valkey.url, hasty_with=[POSTGRES, REDIS]) as api:
        async with under_load(api) as load:
            own_postgres.freeze()
            await load.until_refused(CLIENTS)
            tasks_early = len(asyncio.all_tasks())
            await load.until_refused(3 * CLIENTS)
            tasks_late = len(asyncio.all_tasks())
            own_postgres.thaw()
            await answered_again(load.people[0])
            await load.go_on(100)
            await load.until_created(11)
        assert load.wrong == []
        # What is abandoned holds a connection, or waits for one no longer than its deadline. So it does not pile up:
        # without that bound each of the clients would have left three more by then.
        assert tasks_late < tasks_early + READERS + ACTIVITIES
        await outbox_relayed(api)
        await agrees_with_the_database(api, load)
        await everything_created_is_there(api, load)


async def test_a_postgresql_killed_ten_times_loses_nothing_acknowledged(
    own_postgres: PostgresServer, own_valkey: ValkeyServer
):
    async with serving(own_postgres.url, own_valkey.url, hasty_with=[POSTGRES, REDIS]) as api:
        async with under_load(api) as load:
            for _ in range(10):
                own_postgres.kill()
                await load.until_refused(10)
                await asyncio.to_thread(own_postgres.start)
                await answered_again(load.people[0])
                await load.go_on(100)
            await load.until_created(11)
        assert load.unavailable > 10
        assert load.wrong == []
        await outbox_relayed(api)
        await agrees_with_the_database(api, load)
        await everything_created_is_there(api, load)


async def everything_created_is_there(api: Api, load: Load) -> None:
    repo = api.container.activity_repo()
    assert len(load.created) > 10
    for activity_id in load.created:
        assert await repo.get(activity_id) is not None


async def test_a_service_that_began_without_its_stores_finds_them_by_itself(
    own_postgres: PostgresServer, own_valkey: ValkeyServer
):
    own_postgres.kill()
    own_valkey.kill()
    async with serving(own_postgres.url, own_valkey.url, hasty_with=[POSTGRES, REDIS]) as api:
        assert (await api.http.get("/health/live")).status_code == 200
        ready = await api.http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        await asyncio.to_thread(own_postgres.start)

        async def degraded() -> bool:
            return str((await api.http.get("/health/ready")).json()["status"]) == "degraded"

        await eventually(degraded)
        ann = await api.person()
        await ann.record()
        assert (await ann.get("/activities")).headers["x-cache"] == "BYPASS"
        await asyncio.to_thread(own_valkey.start)
        await cached_again(ann, "/activities")

        async def ready_again() -> bool:
            return str((await api.http.get("/health/ready")).json()["status"]) == "ready"

        await eventually(ready_again)
