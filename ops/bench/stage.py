"""A service with its engines, accounts and activities, and the requests that measure it."""

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psycopg
import redis
from ops.bench.cores import pin
from ops.bench.load import Scenario
from ops.local.client import Client, logged_in
from ops.local.service import Instance, engines, own_folder, serving_from

from fitness.adapters.embedded.engines import EngineUrls

SETTINGS = {"RATE_LIMIT_SCALE": "10000"}
"""Limits are charged and never exceeded."""

WRITERS = 20
IN_CACHE = 200
"""The number of the reader's activities, all of which are in the cache."""
PATCHED = 200
"""The number of the writers' activities: more than connections, and patched in turn, so that no patches conflict."""
MISSES_A_TURN = 2_000
CLIENTS = 8
LIST = "/activities?limit=20"

HIT, LISTED, MISS, CREATE, PATCH = "cached GET", "list hit of 20", "miss", "create", "PATCH"

ACTIVITIES = """
INSERT INTO activities (
    user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
    calories_kcal, notes, tags, source, created_at, updated_at
)
SELECT
    (%(users)s::bigint[])[1 + number %% cardinality(%(users)s::bigint[])], 1, 'run', 'Lunch run ' || number, started,
    'UTC', started::date, 30 + number %% 60, 5 + number %% 20, 300 + number %% 500, repeat('An easy one. ', 8),
    '{lake,easy}', 'manual', started, started
FROM
    generate_series(1, %(count)s) AS number,
    LATERAL (SELECT timestamptz '2025-06-01 08:00Z' - number * interval '1 hour') AS at (started)
ORDER BY number
RETURNING id, user_id
"""

Owned = list[tuple[int, str]]
"""Ids of activities, each with its owner's token."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One checkout's service, ready to be measured."""

    urls: EngineUrls
    instance: Instance
    reader: str
    """The token of the user whose activities are in the cache."""
    kept: Sequence[int]
    """The ids of the reader's activities."""
    scenarios: tuple[Scenario, ...]

    def hits(self, port: int) -> Scenario:
        """Cached GETs from the instance on `port`, on these engines."""
        requests = [get(port, activity, self.reader) for activity in self.kept]
        return Scenario(HIT, port, partial(in_any_order, requests), origin="HIT")

    async def fill(self) -> None:
        """Empty the cache and fill it with the copies that the hits need, since copies live for minutes only."""
        with redis.Redis.from_url(self.urls.redis_url) as cache:
            cache.flushall()
        paths = iter([LIST, *(f"/activities/{activity}" for activity in self.kept)])
        await asyncio.gather(*(self._ask_each(paths) for _ in range(CLIENTS)))

    async def _ask_each(self, paths: Iterator[str]) -> None:
        client = Client(self.instance.port, self.reader)
        for path in paths:
            await client.ask("GET", path)
        client.close()


def staged(stack: ExitStack, source: Path, cores: frozenset[int], *, turns: int) -> Stage:
    """The service whose code is in `source`, with data for `turns` turns."""
    urls = stack.enter_context(engines(source=source))
    log = stack.enter_context(own_folder()) / "log"
    instance = stack.enter_context(serving_from(source, urls, SETTINGS, log=log))
    pin(instance.pids(), cores)
    port = instance.port
    reader, *writers = asyncio.run(_tokens(port))
    kept, patched, missed = _activities(urls.owner_database_url, [reader, *writers], turns * MISSES_A_TURN)
    scenarios = (
        Scenario(LISTED, port, partial(in_any_order, [request(port, "GET", LIST, reader)]), origin="HIT"),
        Scenario(MISS, port, partial(each_once, port, missed), origin="MISS", most=MISSES_A_TURN),
        Scenario(CREATE, port, partial(creations, port, writers), status=201),
        Scenario(PATCH, port, partial(patches, port, patched)),
    )
    stage = Stage(urls, instance, reader, [activity for activity, _ in kept], scenarios)
    return replace(stage, scenarios=(stage.hits(port), *scenarios))


async def _tokens(port: int) -> list[str]:
    """The tokens of the reader and the writers."""
    return [await logged_in(port, f"bench{number}@example.org") for number in range(1 + WRITERS)]


def _activities(database_url: str, tokens: Sequence[str], misses: int) -> tuple[Owned, Owned, Owned]:
    """The activities to be read from the cache, to be patched, and to be missed."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute("SELECT id FROM users ORDER BY id").fetchall()
        owners = dict(zip((row[0] for row in rows), tokens, strict=True))
        reader, *writers = owners

        def added(users: list[int], count: int) -> Owned:
            found = connection.execute(ACTIVITIES, {"users": users, "count": count})
            return [(activity, owners[user]) for activity, user in found]

        made = added([reader], IN_CACHE), added(writers, PATCHED), added(writers, misses)
        connection.execute("VACUUM ANALYZE activities")  # else autovacuum runs during the measurement
        return made


def request(port: int, method: str, path: str, token: str, body: bytes = b"") -> bytes:
    kind = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
    head = f"{method} /api/v1{path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n{kind}\r\n"
    return head.encode() + body


def get(port: int, activity: int, token: str) -> bytes:
    return request(port, "GET", f"/activities/{activity}", token)


def in_any_order(requests: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield random.choice(requests)


def each_once(port: int, activities: Owned) -> Iterator[bytes]:
    return (get(port, activity, token) for activity, token in activities)


def creations(port: int, tokens: Sequence[str]) -> Iterator[bytes]:
    for number in itertools.count():
        day, distance, calories = 1 + number % 28, random.uniform(2, 30), random.randrange(100, 1_500)
        body = (
            f'{{"activity_type": "run", "activity_date": "2025-07-{day:02}T06:30:00+02:00", "duration_minutes": 42.5, '
            f'"title": "Morning run {number}", "distance_km": {distance:.2f}, "calories_kcal": {calories}, '
            f'"notes": "{random.randbytes(50).hex()}", "tags": ["lake", "tempo"]}}'
        )
        yield request(port, "POST", "/activities", random.choice(tokens), body.encode())


def patches(port: int, activities: Owned) -> Iterator[bytes]:
    for number, (activity, token) in enumerate(itertools.cycle(activities)):
        yield request(port, "PATCH", f"/activities/{activity}", token, f'{{"title": "Run {number}"}}'.encode())
