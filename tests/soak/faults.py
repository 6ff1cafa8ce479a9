"""Whether any read shows less than what was acknowledged before it began, under every single fault of the stores.

    python -m tests.soak.faults [--reads 20000] [--only NAME ...]

Each fault happens to a service of 4 workers on engines of its own, again and again until there were `--reads` reads.
Readers on all workers read single activities and lists, while writers change them, from the first write after the start
on. A write that is not answered with 200 is not acknowledged: readers may see it or not. Exits with 1 after a stale
read, or if the cache was hardly used.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

import redis
from ops.local.client import Client, logged_in
from ops.local.network import free_ports
from ops.local.service import Instance, engines, own_folder, serving
from psycopg.conninfo import conninfo_to_dict

from fitness.adapters.embedded.engines import CACHE_SETTINGS, SERVICE, EngineUrls
from tests.harness.servers import (
    ProxyProcess,
    SentinelServer,
    TcpValkey,
    ValkeyServer,
    breakable_cache,
    busy_loops,
    wait_until_says,
)

WORKERS = 4
READS = 20_000
READERS = 32
USERS = 4
ACTIVITIES = 4
HITS_AT_LEAST = 0.05
"""The share of a fault's reads that must be hits: without hits, nothing can be stale."""

WRITE_PAUSE_S = 0.01
HUNG_S = 30.0
CALM_S = 6.0
RECOVERED_S = 20.0
HELD_BACK_S = 30.0
UNLIMITED = {"RATE_LIMIT_SCALE": "0"}


@dataclass
class Known:
    """An activity as its writer knows it. Its version rises by one with each change."""

    id: int
    promised: int
    """The last acknowledged version."""


@dataclass
class Watch:
    """The answers that readers and writers got."""

    ports: list[int]
    reads: int = 0
    writes: int = 0
    stale: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    origins: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    """Outcomes of reads and writes that were not answered with 200."""
    slowest_read_s: float = 0.0
    slowest_write_s: float = 0.0
    bypassed: set[int] = field(default_factory=set)
    """Tenths of a second in which reads bypassed the cache."""
    stop: bool = False

    async def read(self, number: int, token: str, own: list[Known]) -> None:
        with closing(Client(self.ports[number % len(self.ports)], token)) as client:
            await self._read(client, own)

    async def _read(self, client: Client, own: list[Known]) -> None:
        while not self.stop:
            asked = [random.choice(own)] if random.random() < 0.5 else own
            promised = [one.promised for one in asked]
            path = f"/activities/{asked[0].id}" if len(asked) == 1 else "/activities"
            began_s = time.monotonic()
            try:
                async with asyncio.timeout(HUNG_S):
                    answer = await client.ask("GET", path)
            except OSError:  # its worker was killed
                self.statuses["read: lost"] += 1
                await asyncio.sleep(0.02)
                continue
            self.slowest_read_s = max(self.slowest_read_s, time.monotonic() - began_s)
            if answer.status != 200:
                self.statuses[f"read: {answer.status} {answer.json()['code']}"] += 1
                if answer.status != 503:
                    self.wrong.append(f"{path}: {answer.status} {answer.body[:200]!r}")
                continue
            self.reads += 1
            origin = answer.headers.partition(b"x-cache: ")[2].partition(b"\r")[0].decode()
            self.origins[origin] += 1
            if origin == "bypass":
                self.bypassed.add(int(began_s * 10))
            body = answer.json()
            shown = {item["id"]: item["version"] for item in (body["items"] if len(asked) > 1 else [body])}
            for one, at_least in zip(asked, promised, strict=True):
                if shown.get(one.id, 0) < at_least:
                    self.stale.append(f"{path} ({origin}): {one.id} is {shown.get(one.id)}, was {at_least}")

    async def write(self, number: int, token: str, own: list[Known]) -> None:
        with closing(Client(self.ports[number % len(self.ports)], token)) as client:
            await self._write(client, own)

    async def _write(self, client: Client, own: list[Known]) -> None:
        while not self.stop:
            one = random.choice(own)
            began_s = time.monotonic()
            try:
                async with asyncio.timeout(HUNG_S):
                    answer = await client.ask("PATCH", f"/activities/{one.id}", {"title": f"{random.random()}"})
            except OSError:
                self.statuses["write: lost"] += 1
                await asyncio.sleep(0.02)
                continue
            self.slowest_write_s = max(self.slowest_write_s, time.monotonic() - began_s)
            if answer.status == 200:
                one.promised = answer.json()["version"]
                self.writes += 1
            else:
                self.statuses[f"write: {answer.status} {answer.json()['code']}"] += 1
                if answer.status != 503:
                    self.wrong.append(f"PATCH: {answer.status} {answer.body[:200]!r}")
            await asyncio.sleep(WRITE_PAUSE_S)

    async def cached_again(self, within_s: float) -> None:
        """Return when reads come from the cache again."""
        give_up_s = time.monotonic() + within_s
        enough = self.origins["hit"] + READERS
        while self.origins["hit"] < enough:
            if time.monotonic() > give_up_s:
                self.wrong.append(f"not read from the cache again after {within_s} s")
                return
            await asyncio.sleep(0.02)

    @property
    def good(self) -> bool:
        return not self.stale and not self.wrong and self.origins["hit"] >= HITS_AT_LEAST * self.reads

    def row(self) -> str:
        failed = ", ".join(f"{count} {what}" for what, count in sorted(self.statuses.items())) or "none"
        return (
            f"{self.reads} reads ({self.origins['hit']} hits), {self.writes} writes, stale {len(self.stale)}, "
            f"slowest write {self.slowest_write_s:.2f} s, read {self.slowest_read_s:.2f} s, "
            f"bypassed {len(self.bypassed) / 10:.1f} s, failed: {failed}"
        )


@dataclass
class Stage:
    """A service and those of its engines that a fault breaks."""

    instances: list[Instance]
    servers: list[ValkeyServer]
    proxy: ProxyProcess | None = None
    sides: list[Path] = field(default_factory=list)
    """Each instance's link to the socket of the server that it reads from."""
    hold_s: float = HELD_BACK_S
    recovered_s: float = RECOVERED_S

    @property
    def valkey(self) -> ValkeyServer:
        return self.servers[0]

    def workers(self) -> list[int]:
        return [pid for instance in self.instances for pid in instance.workers()]


Act = Callable[[Stage], Awaitable[object]]


@dataclass(frozen=True)
class Fault:
    name: str
    stage: Callable[[EngineUrls], AbstractContextManager[Stage]]
    """Makes the stage on a PostgreSQL; the cache is the stage's own."""
    act: Act
    """Causes the fault and ends it."""


async def do(server: ValkeyServer, *command: str) -> None:
    await asyncio.to_thread(server.do, *command)


# Stages.


@contextmanager
def one_server(urls: EngineUrls) -> Iterator[Stage]:
    with breakable_cache(urls) as (own, valkey), serving(own, WORKERS=str(WORKERS), **UNLIMITED) as one:
        yield Stage([one], [valkey])


@contextmanager
def sentinel(urls: EngineUrls) -> Iterator[Stage]:
    with own_folder() as folder, ExitStack() as stack:
        first_port, second_port, sentinel_port = free_ports(3)
        first, second = TcpValkey(folder / "first", first_port), TcpValkey(folder / "second", second_port)
        watching = SentinelServer(folder / "sentinel", sentinel_port, first_port)
        for server in (first, second, watching):
            stack.callback(server.kill)
            server.start()
            if server is second:
                replicate(first, second, "127.0.0.1", str(first_port))
        wait_until_says(watching, "slaves=1", "INFO", "sentinel")
        own = replace(urls, redis_url=f"redis+sentinel://127.0.0.1:{sentinel_port}/primary")
        one = stack.enter_context(serving(own, WORKERS=str(WORKERS), **UNLIMITED))
        yield Stage([one], [first, second])


@contextmanager
def two_servers(urls: EngineUrls) -> Iterator[Stage]:
    """Two servers, and two instances, each of which follows a link to the socket of the server that it reads from."""
    settings = [word for name, value in CACHE_SETTINGS.items() for word in (f"--{name}", value)]
    with own_folder() as folder, ExitStack() as stack:
        port, other_port = free_ports(2)
        servers = []
        for name, own_port in (("first", port), ("second", other_port)):
            server = ValkeyServer(folder / name, *settings)
            server.options = (*server.options, "--port", str(own_port), "--bind", "127.0.0.1")
            stack.callback(server.kill)
            server.start()
            servers.append(server)
        stage = Stage([], servers, sides=[folder / "a.sock", folder / "b.sock"])
        for side in stage.sides:
            side.symlink_to(servers[0].socket)
            own = replace(urls, redis_url=f"unix://{quote(str(side))}?client_name={side.stem}")
            stage.instances.append(stack.enter_context(serving(own, WORKERS=str(WORKERS // 2), **UNLIMITED)))
        yield stage


@contextmanager
def postgres_apart(urls: EngineUrls) -> Iterator[Stage]:
    """One worker connects to PostgreSQL through a proxy, the others directly."""
    with breakable_cache(urls) as (own, valkey), own_folder() as folder, ExitStack() as stack:
        socket = ".s.PGSQL.5432"
        proxy = ProxyProcess(run_folder(urls) / socket, folder / socket)
        stack.callback(proxy.kill)
        apart = replace(own, database_url=f"postgresql:///fitness?host={quote(str(folder), safe='')}&user={SERVICE}")
        most = stack.enter_context(serving(own, WORKERS=str(WORKERS - 1), **UNLIMITED))
        last = stack.enter_context(serving(apart, WORKERS="1", **UNLIMITED))
        stack.callback(proxy.thaw)
        yield Stage([most, last], [valkey], proxy=proxy)


def run_folder(urls: EngineUrls) -> Path:
    return Path(str(conninfo_to_dict(urls.database_url)["host"]))


def replicate(primary: ValkeyServer, replica: ValkeyServer, host: str, port: str) -> None:
    replica.do("REPLICAOF", host, port)
    wait_until_says(replica, "master_link_status:up", "INFO", "replication")


# Faults.


async def writes_paused(stage: Stage) -> None:
    await do(stage.valkey, "CLIENT", "PAUSE", "3000", "WRITE")
    await asyncio.sleep(3.2)


async def a_replica(stage: Stage) -> None:
    await do(stage.valkey, "REPLICAOF", "127.0.0.1", "1")
    await asyncio.sleep(2)
    await do(stage.valkey, "REPLICAOF", "NO", "ONE")


async def out_of_memory(stage: Stage) -> None:
    await do(stage.valkey, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    await do(stage.valkey, "CONFIG", "SET", "maxmemory", "1mb")
    await asyncio.sleep(2)
    await do(stage.valkey, "CONFIG", "SET", "maxmemory", "256mb")


async def frozen(stage: Stage) -> None:
    stage.valkey.freeze()
    await asyncio.sleep(random.uniform(0.1, 3))
    stage.valkey.thaw()


async def worker_frozen(stage: Stage) -> None:
    pid = random.choice(stage.workers())
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(random.uniform(0.1, 3))
    os.kill(pid, signal.SIGCONT)


async def starved(_: Stage) -> None:
    with busy_loops(10, at_most_s=60):
        await asyncio.sleep(5)


async def killed(stage: Stage) -> None:
    stage.valkey.kill()
    await asyncio.sleep(random.uniform(0, 2))
    await asyncio.to_thread(stage.valkey.start)


async def workers_killed(stage: Stage) -> None:
    """Kill one worker at a time: the supervisor gives up if a worker ends twice within 5.5 s."""
    os.kill(random.choice(stage.workers()), signal.SIGKILL)
    await asyncio.sleep(CALM_S)


async def failed_over(stage: Stage) -> None:
    """Fail over to a replica that has received nothing for `hold_s`. Then the two servers have swapped their roles."""
    primary, replica = stage.servers
    replica.freeze()
    await do(primary, "CLIENT", "KILL", "TYPE", "replica")
    await asyncio.sleep(stage.hold_s)
    primary.kill()
    replica.thaw()
    await asyncio.to_thread(wait_until_says, replica, "role:master", "INFO", "replication")
    await asyncio.sleep(1)
    await asyncio.to_thread(primary.start)
    await asyncio.to_thread(wait_until_says, primary, "master_link_status:up", "INFO", "replication")
    stage.servers.reverse()


async def two_primaries(stage: Stage) -> None:
    """Move the second instance to the second server, then both, then both back to the first, which kept its content."""
    first, second = stage.servers
    primary_port = first.options[first.options.index("--port") + 1]
    await asyncio.to_thread(replicate, first, second, "127.0.0.1", primary_port)
    await do(second, "REPLICAOF", "NO", "ONE")
    moves = [(stage.sides[1:], second), (stage.sides[:1], second), (stage.sides, first)]
    for sides, server in moves:
        for side in sides:
            await asyncio.to_thread(move, side, server, stage.servers)
        await asyncio.sleep(random.uniform(4, 7))


def move(side: Path, server: ValkeyServer, servers: list[ValkeyServer]) -> None:
    """Point this link to `server`, and reconnect the instance that follows it."""
    new = side.with_suffix(".new")
    new.symlink_to(server.socket)
    new.rename(side)
    for each in servers:
        with redis.Redis(unix_socket_path=str(each.socket)) as client:
            for one in client.client_list():
                if one["name"] == side.stem:
                    client.execute_command("CLIENT", "KILL", "ID", one["id"])


async def restored(stage: Stage) -> None:
    """Redis comes back with its content from some writes ago."""
    await do(stage.valkey, "SAVE")
    await asyncio.sleep(1)
    stage.valkey.kill()
    await asyncio.to_thread(stage.valkey.start)


async def postgres_hanging(stage: Stage) -> None:
    assert stage.proxy is not None
    stage.proxy.freeze()
    await asyncio.sleep(random.uniform(0.5, 3))
    stage.proxy.thaw()


FAULTS = (
    Fault("writes-paused", one_server, writes_paused),
    Fault("replica", one_server, a_replica),
    Fault("out-of-memory", one_server, out_of_memory),
    Fault("redis-frozen", one_server, frozen),
    Fault("worker-frozen", one_server, worker_frozen),
    Fault("starved", one_server, starved),
    Fault("redis-killed", one_server, killed),
    Fault("workers-killed", one_server, workers_killed),
    Fault("failover", sentinel, failed_over),
    Fault("two-primaries", two_servers, two_primaries),
    Fault("restored", one_server, restored),
    Fault("postgres-cut-off", postgres_apart, postgres_hanging),
)


async def watched(stage: Stage, act: Act, reads: int) -> Watch:
    """Repeat `act`, under readers and writers, until there were `reads` reads."""
    watch = Watch([instance.port for instance in stage.instances for _ in range(len(instance.workers()))])
    tokens = [await logged_in(watch.ports[0], f"faults{number}@example.org") for number in range(USERS)]
    owned = []
    for token in tokens:
        client = Client(watch.ports[0], token)
        body = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}
        made = [(await client.ask("POST", "/activities", body)).json() for _ in range(ACTIVITIES)]
        owned.append([Known(activity["id"], activity["version"]) for activity in made])
        client.close()
    tasks = [
        asyncio.ensure_future(watch.read(number, tokens[number // WORKERS % USERS], owned[number // WORKERS % USERS]))
        for number in range(READERS)
    ]
    tasks += [asyncio.ensure_future(watch.write(number, tokens[number], owned[number])) for number in range(USERS)]
    try:
        while watch.reads < reads:
            await act(stage)
            await watch.cached_again(stage.recovered_s)
            await asyncio.sleep(random.uniform(0, 0.4))  # time for copies to be made that may become stale
            failed = next((task for task in tasks if task.done()), None)
            if failed is not None:
                failed.result()
    finally:
        watch.stop = True
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets the loop close the connections
    return watch


def main() -> None:
    names = [fault.name for fault in FAULTS]
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--reads", type=int, default=READS)
    options.add_argument("--only", nargs="+", choices=names, default=names)
    given = options.parse_args()
    bad = []
    for fault in FAULTS:
        if fault.name in given.only:
            with engines() as urls, fault.stage(urls) as stage:
                watch = asyncio.run(watched(stage, fault.act, given.reads))
            print(f"{fault.name}: {watch.row()}", flush=True)
            for line in [*watch.stale[:5], *watch.wrong[:5]]:
                print(f"    {line}", flush=True)
            bad += [] if watch.good else [fault.name]
    if bad:
        sys.exit(f"not as promised: {', '.join(bad)}")


if __name__ == "__main__":
    main()
