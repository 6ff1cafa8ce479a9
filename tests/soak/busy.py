"""Whether a worker with very many connections takes its own queue for an outage, or admits more than its limits.

    python -m tests.soak.busy [--seconds 20] [--connections 64 256 1000]

The stores are healthy, there is one worker, everything is cached, and every request is judged by its limits. First come
limits that nobody reaches: there must be no cache error, no unjudged request, no read past the cache, no 5xx, and a
99th percentile that grows no faster than the connections. Then come the normal limits, which refuse most requests: in
peace, while the cache evicts, while it is emptied again and again, and beside ten busy loops. Nobody may be admitted
more often than the limit, and of twenty logins at once exactly five; only beside the loops may an answer be 503, and
such a login counts as either. Exits with 1 if any of that fails.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count

from ops.local.client import PASSWORD, Client, logged_in
from ops.local.service import Instance, engines, serving

from fitness.domain.model.rate_limits import POLICIES, SECOND_US, Limit
from tests.harness.servers import ValkeyServer, breakable_cache, busy_loops

CONNECTIONS = [64, 256, 1_000]
SECONDS = 20.0
PATIENCE_S = 60.0
TURNS = 3
"""How often each number of connections is measured, in turn with the others."""
USERS = 8
LIST_SHARE = 8
"""One read in LIST_SHARE is of a list."""

LOGINS, LOGINS_ADMITTED = 20, 5
BODY = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}
BEYOND_REACH = {"RATE_LIMIT_SCALE": "100000"}
TRUSTED = {"TRUSTED_PROXIES": "127.0.0.0/8"}

REQUESTS: Limit | None = next(policy.free for policy in POLICIES if policy.name == "requests")

_numbers = count(1)


def from_elsewhere() -> str:
    """A header that names an address that was not used before."""
    number = next(_numbers)
    return f"x-forwarded-for: 198.18.{number // 256}.{number % 256}\r\n"


@dataclass
class Reader:
    """An account with an activity, and the answers to its connections."""

    token: str
    path: str
    began_s: float
    ended_s: float = 0.0
    admitted: int = 1
    """Admitted requests: the first one created the activity, under the same limit."""
    refused: int = 0
    failed: int = 0
    """Answers of 5xx: a request fails before the limits have judged it, or after."""

    @property
    def at_most(self) -> int:
        assert REQUESTS is not None
        return REQUESTS.requests + int((self.ended_s - self.began_s) * SECOND_US) // REQUESTS.interval_us


@dataclass
class Load:
    """A load over `connections` connections, all of which are open before the first one is measured."""

    port: int
    readers: list[Reader]
    connections: int
    statuses: Counter[int] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    took_ms: list[float] = field(default_factory=list)
    broken: int = 0
    stop: bool = False

    async def run(self, seconds: float, *, until_refused: bool = False) -> None:
        """With `until_refused`, continue until each reader was refused, however slow the machine is."""
        go_on = asyncio.Event()
        opened = [asyncio.Event() for _ in range(self.connections)]
        running = [asyncio.ensure_future(self._connection(n, one, go_on)) for n, one in enumerate(opened)]
        for one in opened:
            await one.wait()
        go_on.set()
        await asyncio.sleep(seconds)
        give_up_s = time.monotonic() + PATIENCE_S
        while until_refused and not all(reader.refused for reader in self.readers):
            assert time.monotonic() < give_up_s
            await asyncio.sleep(0.05)
        self.stop = True
        await asyncio.gather(*running)

    async def _connection(self, number: int, opened: asyncio.Event, go_on: asyncio.Event) -> None:
        reader = self.readers[number % len(self.readers)]
        client = Client(self.port, reader.token)
        turn = number
        while not self.stop:
            began_s = time.monotonic()
            try:
                answer = await client.ask("GET", reader.path if turn % LIST_SHARE else "/activities")
            except OSError:
                self.broken += 1
                opened.set()
                continue
            reader.ended_s = time.monotonic()
            reader.refused += answer.status == 429
            reader.failed += answer.status >= 500
            reader.admitted += answer.status != 429 and answer.status < 500
            self.statuses[answer.status] += 1
            self.origins[answer.headers.partition(b"x-cache: ")[2].partition(b"\r")[0].decode()] += 1
            if opened.is_set():
                self.took_ms.append((reader.ended_s - began_s) * 1000)
            else:
                opened.set()
                await go_on.wait()
            turn += 1
        client.close()

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.took_ms)

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.took_ms, n=100)[98]

    @property
    def failed(self) -> int:
        return self.broken + sum(times for status, times in self.statuses.items() if status >= 500)


@dataclass(frozen=True)
class Troubles:
    """Outages that the service counted although there were none."""

    cache_errors: float
    unjudged: float

    @classmethod
    def counted(cls, instance: Instance) -> "Troubles":
        samples = instance.metrics()
        errors = sum(value for name, value in samples.items() if name.startswith("cache_errors_total"))
        unjudged = sum(
            value
            for name, value in samples.items()
            if name.startswith("rate_limit_decisions_total") and 'outcome="unavailable"' in name
        )
        return cls(errors, unjudged)

    def since(self, before: "Troubles") -> "Troubles":
        return Troubles(self.cache_errors - before.cache_errors, self.unjudged - before.unjudged)


async def readers(port: int) -> list[Reader]:
    """New accounts, each with an activity."""
    made = []
    for _ in range(USERS):
        token = await logged_in(port, f"busy{next(_numbers)}@example.org", headers=from_elsewhere())
        client, began_s = Client(port, token), time.monotonic()
        answer = await client.ask("POST", "/activities", BODY)
        assert answer.status == 201, answer.body
        made.append(Reader(token, f"/activities/{answer.json()['id']}", began_s))
        client.close()
    return made


@dataclass
class Level:
    load: Load
    troubles: Troubles

    @property
    def wrong(self) -> list[str]:
        found = {
            "cache errors": self.troubles.cache_errors,
            "requests unjudged": self.troubles.unjudged,
            "reads past the cache": self.load.origins["bypass"],
            "answers of 5xx or none": self.load.failed,
            "answers of another status": self.load.statuses.total() - self.load.statuses[200] - self.load.failed,
        }
        return [f"{self.load.connections} connections: {times:.0f} {what}" for what, times in found.items() if times]


async def levels(instance: Instance, connections: list[int], seconds: float) -> list[Level]:
    """Measure each number of connections, one after the other, on one service."""
    everybody, measured = await readers(instance.port), []
    for number in connections:
        before = await asyncio.to_thread(Troubles.counted, instance)
        load = Load(instance.port, everybody, number)
        await load.run(seconds)
        measured.append(Level(load, (await asyncio.to_thread(Troubles.counted, instance)).since(before)))
    return measured


def grown_too_fast(measured: list[Level]) -> list[str]:
    """Levels whose 99th percentile grew by a larger factor than the connections, compared with the first level.

    A level that was measured several times counts with its lowest figure: other load can only make a turn slower.
    """
    p99_ms: dict[int, float] = {}
    for load in (level.load for level in measured):
        p99_ms[load.connections] = min(load.p99_ms, p99_ms.get(load.connections, load.p99_ms))
    first = measured[0].load.connections
    return [
        f"p99 of {connections} connections is {own_ms / p99_ms[first]:.1f} times that of {first}"
        for connections, own_ms in p99_ms.items()
        if own_ms / p99_ms[first] > connections / first
    ]


@dataclass
class Limited:
    load: Load
    logins: Counter[int]
    troubles: Troubles

    @property
    def wrong(self) -> list[str]:
        assert REQUESTS is not None
        found = [
            f"{reader.admitted} admitted, at most {reader.at_most}, {reader.failed} failed"
            for reader in self.load.readers
            if reader.admitted + reader.failed < REQUESTS.requests
            or reader.admitted > reader.at_most + self.troubles.unjudged
        ]
        # A machine that has no time for a login answers 503, before or after the limits have admitted it.
        admitted, refused, unknown = (self.logins[status] for status in (200, 429, 503))
        may_be_more = LOGINS_ADMITTED - admitted, LOGINS - LOGINS_ADMITTED - refused
        if min(may_be_more) < 0 or sum(may_be_more) != unknown:
            found.append(f"logins at once: {dict(self.logins)}")
        return found


Situation = Callable[[ValkeyServer], AbstractAsyncContextManager[object]]


@asynccontextmanager
async def quiet(_: ValkeyServer) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def evicting(cache: ValkeyServer) -> AsyncIterator[None]:
    """Meanwhile other keys push everything out of the cache again and again."""
    await asyncio.to_thread(cache.do, "CONFIG", "SET", "maxmemory", "4mb")
    filling = asyncio.ensure_future(again_and_again(cache, "EVAL", FILL, "0"))
    yield
    filling.cancel()
    await asyncio.gather(filling, return_exceptions=True)
    assert "evicted_keys:0\r" not in str(cache.says("INFO", "stats")), "nothing was evicted"


FILL = """
for number = 1, 500 do
    redis.call('SET', 'other' .. redis.call('INCR', 'others'), string.rep('x', 5000))
end
"""


@asynccontextmanager
async def flushed(cache: ValkeyServer) -> AsyncIterator[None]:
    flushing = asyncio.ensure_future(again_and_again(cache, "FLUSHALL"))
    yield
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)


@asynccontextmanager
async def starved(_: ValkeyServer) -> AsyncIterator[None]:
    with busy_loops(10, at_most_s=120):
        yield


async def again_and_again(cache: ValkeyServer, *command: str) -> None:
    while True:
        await asyncio.to_thread(cache.do, *command)
        await asyncio.sleep(0.1)


SITUATIONS: dict[str, Situation] = {"quiet": quiet, "evicting": evicting, "flushed": flushed, "starved": starved}


async def limited(
    instance: Instance, cache: ValkeyServer, situation: Situation, connections: int, seconds: float
) -> Limited:
    """Load accounts until most requests are refused, and send twenty logins at once into another account."""
    everybody = await readers(instance.port)
    email, address = f"busy{next(_numbers)}@example.org", from_elsewhere()
    registration = {"email": email, "password": PASSWORD}
    with closing(Client(instance.port)) as client:
        assert (await client.ask("POST", "/auth/register", registration, headers=address)).status == 201
    before = await asyncio.to_thread(Troubles.counted, instance)
    load = Load(instance.port, everybody, connections)
    async with situation(cache):
        running = asyncio.ensure_future(load.run(seconds, until_refused=True))
        await asyncio.sleep(seconds / 4)
        clients = [Client(instance.port) for _ in range(LOGINS)]
        attempts = [client.ask("POST", "/auth/login", registration, headers=address) for client in clients]
        logins = Counter(answer.status for answer in await asyncio.gather(*attempts))
        await running
    for client in clients:
        client.close()
    return Limited(load, logins, (await asyncio.to_thread(Troubles.counted, instance)).since(before))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=SECONDS)
    options.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    given = options.parse_args()
    wrong: list[str] = []
    with engines() as urls, breakable_cache(urls) as (own, cache):
        with serving(own, **TRUSTED, **BEYOND_REACH) as instance:
            measured = asyncio.run(levels(instance, given.connections * TURNS, given.seconds / TURNS))
        for level in measured:
            load = level.load
            print(
                f"{load.connections:>5} connections: {len(load.took_ms) * TURNS / given.seconds:.0f} a second, "
                f"p50 {load.p50_ms:.0f} ms, p99 {load.p99_ms:.0f} ms, {dict(load.origins)}, {dict(load.statuses)}, "
                f"cache errors {level.troubles.cache_errors:.0f}, unjudged {level.troubles.unjudged:.0f}",
                flush=True,
            )
            wrong += level.wrong
        wrong += grown_too_fast(measured)
        with serving(own, **TRUSTED) as instance:
            for name, situation in SITUATIONS.items():
                seen = asyncio.run(limited(instance, cache, situation, max(given.connections), given.seconds))
                users = [f"{reader.admitted} of {reader.at_most}" for reader in seen.load.readers]
                print(
                    f"{name:>8}: admitted {', '.join(users)}; logins {seen.logins[200]} of {LOGINS_ADMITTED}; "
                    f"{dict(seen.load.statuses)}, {dict(seen.load.origins)}, "
                    f"cache errors {seen.troubles.cache_errors:.0f}, unjudged {seen.troubles.unjudged:.0f}",
                    flush=True,
                )
                wrong += [f"{name}: {what}" for what in seen.wrong]
                if name != "starved" and (failed := seen.logins[503] + seen.load.failed):
                    wrong.append(f"{name}: {failed} logins and reads without an answer of the stores")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
