"""The cache on a real three-node Cluster and behind a real Sentinel, all of the Valkey binary."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from ops.local.network import OUTGOING_FROM, free_ports
from ops.local.service import own_folder
from redis.asyncio import RedisCluster

from fitness.adapters.redis.cache import RedisCache
from fitness.adapters.redis.client import AnyLine, AnyRedis, connected, line_to
from fitness.adapters.redis.rate_limits import RedisRateLimiter
from fitness.ports.cache import CachePort, Era
from fitness.ports.outages import CacheUnavailable
from tests.harness.api import PATIENT_S, REDIS, Person, serving
from tests.harness.load import eventually
from tests.harness.servers import SentinelServer, TcpValkey, answered, wait_until_says
from tests.patience import PATIENCE_S
from tests.unit.contracts.cache import ANN, BOB, CacheContract, key
from tests.unit.contracts.rate_limits import charge


@pytest.fixture(scope="module")
def cluster_url() -> Iterator[str]:
    with own_folder() as folder:
        yield from _cluster(folder)


def _cluster(folder: Path) -> Iterator[str]:
    # A node's bus has a port 10 000 above its own.
    chosen = [port for port in free_ports(50) if port + 10_000 < OUTGOING_FROM][:3]
    nodes = [TcpValkey(folder / f"node-{port}", port, "--cluster-enabled", "yes") for port in chosen]
    for node in nodes:
        node.start()
    shares = [("0", "5460"), ("5461", "10922"), ("10923", "16383")]
    for node, share in zip(nodes, shares, strict=True):
        node.do("CLUSTER", "ADDSLOTSRANGE", *share)
        node.do("CLUSTER", "MEET", "127.0.0.1", str(nodes[0].port))
    for node in nodes:
        wait_until_says(node, "cluster_state:ok", "CLUSTER", "INFO")
        wait_until_says(node, "cluster_known_nodes:3", "CLUSTER", "INFO")
    yield "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    for node in nodes:
        node.kill()


@pytest.fixture
async def cluster(cluster_url: str) -> AsyncIterator[AnyRedis]:
    client = connected(cluster_url)
    assert isinstance(client, RedisCluster)
    await client.flushall(target_nodes=RedisCluster.PRIMARIES)
    yield client
    await client.aclose()


@pytest.fixture
async def cluster_line(cluster: AnyRedis, cluster_url: str) -> AsyncIterator[AnyLine]:
    line = line_to(cluster_url, PATIENT_S)
    yield line
    await line.aclose()


class TestOnACluster(CacheContract):
    @pytest.fixture
    def cache(self, cluster_line: AnyLine) -> CachePort:
        return RedisCache(cluster_line)

    async def test_scopes_on_different_nodes_are_invalidated_together(self, cache: CachePort, era: Era):
        scopes = [ANN, BOB] + [type(ANN)("activity", number) for number in range(40)]
        await cache.invalidate(era, *scopes)
        for scope in scopes:
            await self.missed(cache, era, key(scope=scope))


async def test_a_line_that_is_closed_while_it_looks_for_the_slots_leaves_no_connection(cluster_url: str):
    """However far the look has come, and whoever asks meanwhile."""
    lines = [line_to(cluster_url) for _ in range(60)]
    for turns, line in enumerate(lines):
        await answered(line)
        line.reconnect()
        asking = asyncio.ensure_future(line.ask_everywhere(("PING",)))
        for _ in range(turns):
            await asyncio.sleep(0)
        await line.aclose()
        await asyncio.gather(asking, return_exceptions=True)
    # The lines are still there, so that nothing was closed because it was collected.
    ports = [int(host.rpartition(":")[2]) for host in cluster_url.partition("://")[2].split(",")]
    assert [left for port in ports for left in clients(port) if "cmd=client" not in left] == []


async def test_a_cluster_that_hangs_while_its_slots_are_asked_for_is_an_outage():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, and never answers
        line = line_to(f"redis+cluster://127.0.0.1:{silent.getsockname()[1]}")
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(CacheUnavailable):
                await RedisCache(line).read(key(), Era("run", "era"))
        await line.aclose()


def clients(port: int) -> list[str]:
    """Who is connected to a server, a line each."""
    with redis.Redis(port=port, protocol=2, decode_responses=True) as client:
        client.response_callbacks.clear()
        return str(client.execute_command("CLIENT", "LIST", "TYPE", "NORMAL")).splitlines()


async def test_limits_of_anybody_are_judged_together_on_a_cluster(cluster_line: AnyLine):
    limiter = RedisRateLimiter(cluster_line)
    login = [charge(5, subject="address:::1"), charge(2, policy="login", subject="account:ab")]
    assert [(await limiter.acquire(login)).allowed for _ in range(3)] == [True, True, False]
    for number in range(20):
        own = [charge(3, subject=f"user:{number}"), charge(1, policy="create", subject=f"user:{number}")]
        assert [(await limiter.acquire(own)).allowed for _ in range(2)] == [True, False]


async def test_the_whole_service_runs_on_a_cluster(database_url: str, cluster_url: str):
    async with serving(database_url, cluster_url) as api:
        ann = await api.person()
        one = await ann.record()
        path = f"/activities/{one['id']}"
        assert (await ann.get(path)).headers["x-cache"] == "HIT"
        assert [(await ann.get("/activities")).headers["x-cache"] for _ in range(2)] == ["MISS", "HIT"]
        await ann.patch(path, json={"title": "changed"})
        assert (await ann.get(path)).json()["title"] == "changed"
        assert await ann.titles() == ["changed"]


@dataclass(frozen=True)
class Watched:
    """A primary, its replica, and the Sentinel that watches them."""

    first: TcpValkey
    second: TcpValkey
    sentinel: SentinelServer

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/primary"


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    first_port, second_port, sentinel_port = free_ports(3)
    first, second = TcpValkey(folder / "first", first_port), TcpValkey(folder / "second", second_port)
    sentinel = SentinelServer(folder / "sentinel", sentinel_port, first_port)
    try:
        first.start()
        second.start()
        second.do("REPLICAOF", "127.0.0.1", str(first_port))
        wait_until_says(second, "master_link_status:up", "INFO", "replication")
        sentinel.start()
        wait_until_says(sentinel, "slaves=1", "INFO", "sentinel")
        yield Watched(first, second, sentinel)
    finally:
        for server in (sentinel, first, second):
            server.kill()


async def until_cached(person: Person, path: str) -> None:
    async def cached() -> bool:
        return (await person.get(path)).headers["x-cache"] == "HIT"

    await eventually(cached)


async def test_behind_a_sentinel_the_service_follows_the_primary_and_shows_nothing_old(
    database_url: str, watched: Watched
):
    async with serving(database_url, watched.url, hasty_with=[REDIS]) as api:
        ann = await api.person()
        one = await ann.record(title="before")
        path = f"/activities/{one['id']}"
        await until_cached(ann, path)
        watched.first.kill()
        for number in range(30):  # while nobody is the primary, and after
            assert (await ann.patch(path, json={"title": f"no {number}"})).status_code == 200
            answer = await ann.get(path)
            assert (answer.status_code, answer.json()["title"]) == (200, f"no {number}")
            await asyncio.sleep(0.02)
        await until_cached(ann, path)
        assert (await ann.get(path)).json()["title"] == "no 29"
        wait_until_says(watched.second, "role:master", "INFO", "replication")


async def test_a_line_that_is_closed_leaves_no_connection_to_a_sentinel(watched: Watched):
    line = line_to(watched.url)
    await answered(line)
    assert [one for one in clients(watched.sentinel.port) if "cmd=sentinel" in one] != []
    await line.aclose()
    assert [one for one in clients(watched.sentinel.port) if "cmd=sentinel" in one] == []


@pytest.mark.parametrize("url", ["redis+cluster://127.0.0.1:1,127.0.0.1:2", "redis+sentinel://127.0.0.1:1/primary"])
async def test_a_topology_out_of_reach_is_an_outage(url: str):
    line = line_to(url)
    with pytest.raises(CacheUnavailable):
        await RedisCache(line).read(key(), Era("run", "era"))
    await line.aclose()
