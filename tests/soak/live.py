"""Follows the live feed of four worker processes under disturbances: python -m tests.soak.live

Readers pause, continue and kill their connections at random, while eight writers change one account's activities: each
reader has to see every change once and in order, also while the Redis of the wake-ups is killed and restarted. With a
thousand connections made and killed, and a thousand idle ones, the gauge has to be right and the memory flat. A session
that ends has to close its connection. Of 100 000 changes of many people, each may only be sent to its owner.
"""

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ops.local.client import Answer, Client, logged_in
from ops.local.service import Instance, engines, serving
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from fitness.adapters.credentials.jwt import JwtAccessTokens
from fitness.adapters.embedded.engines import EngineUrls
from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.users import PostgresUserRepo
from fitness.adapters.system.clock import SystemClock
from fitness.domain.model.users import Caller, User
from fitness.entrypoints.http.cursors import change_of
from tests.builders import NOW, a_registration, an_activity, messages
from tests.harness.servers import ValkeyServer, breakable_state
from tests.patience import PATIENCE_S

WORKERS = 4
WRITERS = 8
READERS = 4
SECONDS = 60.0
SOCKETS = 1_000
CHANGES = 100_000
PEOPLE = 40
AT_ONCE = 100
CATCH_UP_S = 120.0
"""Time that the readers have after the last change."""

REVOKED_S = 5.0
GROWTH_MIB = 20.0
"""Allowed growth of all worker processes while connections are made and killed, after a first round of them."""

SETTINGS = {"WORKERS": str(WORKERS), "RATE_LIMIT_SCALE": "0", "CONNECTIONS_PER_ADDRESS": "5000"}


def token_of(user: User) -> str:
    tokens = JwtAccessTokens((sha256(b"of a test").hexdigest(),), SystemClock())
    return tokens.issue(Caller(user.id, "0" * 32, time.time_ns() // 1_000)).token


@asynccontextmanager
async def people(urls: EngineUrls, count: int) -> AsyncIterator[tuple[Database, list[User]]]:
    database = Database(urls.database_url)
    await database.open()
    users = PostgresUserRepo(database)
    yield database, [await users.add(a_registration(), password_hash="-", at=NOW) for _ in range(count)]
    await database.close()


async def opened(port: int, token: str, cursor: str | None = None) -> ClientConnection:
    """A connection that follows changes from now on, or after the cursor."""
    client = await connect(f"ws://127.0.0.1:{port}/api/v1/live", open_timeout=PATIENCE_S, ping_interval=None)
    await client.send(json.dumps({"token": token} | ({} if cursor is None else {"cursor": cursor})))
    json.loads(await asyncio.wait_for(client.recv(), PATIENCE_S))
    return client


# Readers and writers of one account.


@dataclass
class Reader:
    """A reader that remembers its cursor, and connects again from there."""

    port: int
    token: str
    owner: int
    draw: random.Random
    cursor: str
    seen: int = 0
    connections: int = 0
    wrong: list[str] = field(default_factory=list)

    async def read(self, end: list[int], until_s: float) -> None:
        """Read up to the `end`. Once that is known, the reader neither pauses nor leaves any more."""
        while not self.wrong and (not end or (self.seen < end[0] and time.monotonic() < until_s)):
            try:
                client = await opened(self.port, self.token, self.cursor)
            except (OSError, WebSocketException, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            self.connections += 1
            with suppress(WebSocketException, TimeoutError):
                await self._read_some(client, end, until_s)
            client.transport.abort()
            if not end:
                await asyncio.sleep(self.draw.choice([0, 0, 0.05, 0.5]))

    async def _read_some(self, client: ClientConnection, end: list[int], until_s: float) -> None:
        leaves_s = time.monotonic() + self.draw.expovariate(1.0)
        while time.monotonic() < (until_s if end else leaves_s) and not self.wrong and [self.seen] != end:
            if not end and self.draw.random() < 0.01:
                await asyncio.sleep(self.draw.random())  # a pause
            with suppress(TimeoutError):
                self._told(json.loads(await asyncio.wait_for(client.recv(), 0.2))["change"])
        if self.draw.random() < 0.3:
            await client.close()

    def _told(self, change: dict[str, object]) -> None:
        self.cursor = str(change["cursor"])
        seq = change_of(self.cursor, self.owner)
        if seq != self.seen + 1:
            self.wrong.append(f"{seq} came after {self.seen}")
        self.seen = seq


async def write(port: int, token: str, draw: random.Random, done: Callable[[], bool]) -> int:
    """How many requests failed; whether they were carried out does not matter, since the change log tells."""
    client, failed = Client(port, token), 0
    body = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30, "tags": ["a"]}
    mine: list[int] = []
    while not done():
        try:
            if len(mine) < 5 or draw.random() < 0.3:
                mine.append((await client.ask("POST", "/activities", body)).json()["id"])
            one = draw.choice(mine)
            what = draw.randrange(4)
            if what == 0:
                await client.ask("DELETE", f"/activities/{one}")
            elif what == 1:
                await client.ask("POST", f"/activities/{one}/restore")
            else:
                await client.ask("PATCH", f"/activities/{one}", {"title": str(draw.random())})
            if draw.random() < 0.01:
                tags = draw.sample(["a", "b"], 2)
                await client.ask("PATCH", f"/tags/{tags[0]}", {"name": tags[1]})
        except (ConnectionError, KeyError):
            failed += 1
    client.close()
    return failed


async def asked(port: int, token: str, method: str, path: str) -> Answer:
    """The answer to a request over a connection of its own."""
    client = Client(port, token)
    try:
        return await client.ask(method, path)
    finally:
        client.close()


async def followed(
    instance: Instance, seconds: float, breaking: Callable[[], None] | None, mending: Callable[[], None] | None
) -> tuple[str, list[str]]:
    """A line on what was seen, and what was wrong."""
    token = await logged_in(instance.port, f"reader{time.time_ns()}@example.org")
    owner: int = (await asked(instance.port, token, "GET", "/users/me")).json()["id"]
    start = (await asked(instance.port, token, "GET", "/activities/changes?from=now")).json()["next_cursor"]
    until_s = time.monotonic() + seconds
    readers = [Reader(instance.port, token, owner, random.Random(seed), start) for seed in range(READERS)]
    end: list[int] = []
    reading = [asyncio.ensure_future(one.read(end, until_s + CATCH_UP_S)) for one in readers]
    writing = [
        asyncio.ensure_future(write(instance.port, token, random.Random(seed), lambda: time.monotonic() > until_s))
        for seed in range(WRITERS)
    ]
    if breaking is not None and mending is not None:
        await asyncio.sleep(seconds / 3)
        await asyncio.to_thread(breaking)
        await asyncio.sleep(seconds / 3)
        await asyncio.to_thread(mending)
    failed = sum(await asyncio.gather(*writing))
    now = (await asked(instance.port, token, "GET", "/activities/changes?from=now")).json()["next_cursor"]
    end.append(change_of(now, owner))
    await asyncio.gather(*reading)
    wrong = [what for one in readers for what in one.wrong]
    wrong += [f"a reader saw {one.seen} of {end[0]}" for one in readers if one.seen != end[0]]
    connections = sum(one.connections for one in readers)
    return f"{end[0]} changes, {READERS} readers over {connections} connections, {failed} writes failed", wrong


# Many connections.


async def gauge(instance: Instance, wanted: float) -> float:
    """The gauge's value, as soon as it is the wanted one, or after PATIENCE_S."""
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        samples = await asyncio.to_thread(instance.metrics)
        found = sum(value for name, value in samples.items() if name.startswith("websocket_connections"))
        if found == wanted or time.monotonic() > give_up_s:
            return found
        await asyncio.sleep(0.2)


def memory_mib(instance: Instance) -> float:
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in instance.workers()]
    return sum(pages) * resource.getpagesize() / 2**20


async def many(instance: Instance, urls: EngineUrls, count: int) -> tuple[str, list[str]]:
    async with people(urls, -(-count // 5)) as (_, users):
        tokens = [token_of(user) for user in users]
        return await _many(instance, tokens, count)


async def _many(instance: Instance, tokens: Sequence[str], count: int) -> tuple[str, list[str]]:
    wrong = []

    async def made_and_killed(number: int) -> None:
        client = await opened(instance.port, tokens[number % len(tokens)])
        client.transport.abort()

    async def turns(times: int) -> None:
        step = min(20, len(tokens))  # one for each person, whose place is free once the service has seen the kill
        for first in range(0, times, step):
            await asyncio.gather(*(made_and_killed(number) for number in range(first, min(first + step, times))))

    await turns(count // 2)  # memory that a process takes only once
    await gauge(instance, 0)
    before_mib = memory_mib(instance)
    await turns(count)
    left, grown_mib = await gauge(instance, 0), memory_mib(instance) - before_mib
    if left:
        wrong.append(f"{left} connections are counted after all were killed")
    if grown_mib > GROWTH_MIB:
        wrong.append(f"the memory grew by {grown_mib:.1f} MiB over {count} connections")
    idle: list[ClientConnection] = []
    for first in range(0, count, 50):
        idle += await asyncio.gather(
            *(opened(instance.port, tokens[number // 5]) for number in range(first, min(first + 50, count)))
        )
    counted, held_mib = await gauge(instance, count), memory_mib(instance) - before_mib
    if counted != count:
        wrong.append(f"{counted} of {count} idle connections are counted")
    for client in idle:
        client.transport.abort()
    if left := await gauge(instance, 0):
        wrong.append(f"{left} connections are counted after all idle ones were killed")
    per_kib = held_mib * 1_024 / count
    return (
        f"{count} made and killed: memory {grown_mib:+.1f} MiB; {count} idle: {held_mib:+.1f}, {per_kib:.0f} KiB each",
        wrong,
    )


async def revoked(instance: Instance, within_s: float) -> tuple[str, list[str]]:
    token = await logged_in(instance.port, f"leaver{time.time_ns()}@example.org")
    client = await opened(instance.port, token)
    assert (await asked(instance.port, token, "POST", "/auth/logout")).status == 204
    began_s = time.monotonic()
    with suppress(WebSocketException):
        async for _ in client:
            pass
    took_s = time.monotonic() - began_s
    wrong = [] if client.close_code == 4401 and took_s <= within_s else [f"{client.close_code} after {took_s:.1f} s"]
    return f"closed {took_s:.2f} s after its session ended", wrong


# Many people.


async def apart(instance: Instance, urls: EngineUrls, count: int) -> tuple[str, list[str]]:
    async with people(urls, PEOPLE) as (database, users):
        repo, each = PostgresActivityRepo(database), count // PEOPLE // AT_ONCE * AT_ONCE

        async def follow(user: User) -> list[str]:
            client = await opened(instance.port, token_of(user))
            seen, wrong = 0, []
            while seen < each:
                change = json.loads(await asyncio.wait_for(client.recv(), PATIENCE_S))["change"]
                seen += 1
                if change_of(change["cursor"], user.id) != seen or change["activity"]["user_id"] != user.id:
                    wrong.append(f"user {user.id} was told {change['cursor']} of {change['activity']['user_id']}")
            client.transport.abort()
            return wrong

        following = [asyncio.ensure_future(follow(user)) for user in users]
        await gauge(instance, PEOPLE)
        for _ in range(each // AT_ONCE):
            for user in users:
                await repo.add_all([an_activity(user_id=user.id) for _ in range(AT_ONCE)], messages=messages())
        wrong = [what for some in await asyncio.gather(*following) for what in some]
    return f"{each * PEOPLE} changes of {PEOPLE} people, each told of their own", wrong


async def soaked(instance: Instance, urls: EngineUrls, state: ValkeyServer, given: argparse.Namespace) -> list[str]:
    found: list[str] = []

    def told(name: str, result: tuple[str, list[str]]) -> None:
        print(f"{name}: {result[0]}", flush=True)
        found.extend(f"{name}: {what}" for what in result[1])

    told("readers", await followed(instance, given.seconds, None, None))
    told("readers, Redis killed meanwhile", await followed(instance, given.seconds, state.kill, state.start))
    told("revoked", await revoked(instance, REVOKED_S))
    told("connections", await many(instance, urls, given.sockets))
    told("people", await apart(instance, urls, given.changes))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--sockets", type=int, default=SOCKETS)
    parser.add_argument("--changes", type=int, default=CHANGES)
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with engines() as shared, breakable_state(shared) as (urls, state), serving(urls, **SETTINGS) as instance:
        wrong = asyncio.run(soaked(instance, urls, state, given))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
