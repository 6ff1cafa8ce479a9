"""Measures what others notice while somebody renames a tag that 20 000 activities have.

    python -m tests.soak.renaming [--activities 20000] [--rounds 3] [--seconds 6]

On a service of two workers, four other users read cached activities, list and create, with a pause after each answer:
for some seconds in peace, then while the tag is renamed, and so on. During a renaming their 99th percentile may be at
most twice as high as in peace. Each renaming has to write one entry for each activity into the change log, and to give
the owner's scope of the cache one new generation. Exits with 1 if any of it fails.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from ops.local.client import Client, logged_in
from ops.local.service import engines, serving
from redis import Redis
from redis.client import PubSub

from fitness.domain.use_cases.caching.keys import user_scope
from fitness.ports.cache import Scope

PAUSE_S = 0.005
OTHERS = 4
NEW = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30, "tags": ["lake"]}
EIGHT = ("read", "read", "list", "read", "read", "create", "read", "read")
MOST_TIMES = 2.0

ACTIVITIES = """
    INSERT INTO activities (user_id, version, activity_type, title, activity_date, timezone, local_date,
        duration_minutes, distance_km, tags, source, created_at, updated_at)
    SELECT %(owner)s, 1, 'run', 'Morning ' || n, at, 'UTC', at::date, 30, n / 1000.0, ARRAY[%(tag)s, 'rain'], 'manual',
        at, at
    FROM generate_series(1, %(count)s) AS n, LATERAL (SELECT timestamptz '2026-11-01' - n * interval '5 hours' AS at)
"""

LOGGED = """
    SELECT count(*), count(DISTINCT activity_id)
    FROM activity_changes
    WHERE user_id = %(owner)s AND kind = 'updated'
"""

TAGGED = "SELECT count(*) FROM activities WHERE user_id = %(owner)s AND tags = ARRAY[%(tag)s, 'rain']"


@dataclass(slots=True)
class Seen:
    """The answers that the others got."""

    took_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.took_ms, n=100)[98]

    def __str__(self) -> str:
        p50_ms = statistics.median(self.took_ms)
        return f"{len(self.took_ms):6} answers, p50 {p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms {dict(self.statuses)}"


class Other:
    def __init__(self, port: int, token: str) -> None:
        self._client = Client(port, token)
        self._path = ""
        self._turn = 0

    async def begin(self) -> None:
        await self._ask("create")

    async def go_on(self, seen: Seen, over: asyncio.Event) -> None:
        while not over.is_set():
            began_s = time.perf_counter()
            status = await self._ask(EIGHT[self._turn % len(EIGHT)])
            seen.took_ms.append((time.perf_counter() - began_s) * 1e3)
            seen.statuses[status] += 1
            self._turn += 1
            await asyncio.sleep(PAUSE_S)

    async def _ask(self, what: str) -> int:
        if what == "create":
            answer = await self._client.ask("POST", "/activities", NEW)
            self._path = f"/activities/{answer.json()['id']}"
            return answer.status
        return (await self._client.ask("GET", self._path if what == "read" else "/activities")).status


async def others_meanwhile(others: list[Other], seen: Seen, meanwhile: Awaitable[Any]) -> None:
    over = asyncio.Event()
    going_on = [asyncio.ensure_future(other.go_on(seen, over)) for other in others]
    await meanwhile
    over.set()
    await asyncio.gather(*going_on)


@dataclass(slots=True)
class Invalidations:
    """Counts the invalidations of one scope of the cache, by keyspace events of its server."""

    channel: PubSub

    @classmethod
    def of(cls, cache: Redis, scope: Scope) -> "Invalidations":
        cache.config_set("notify-keyspace-events", "K$")
        channel: PubSub = cache.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        channel.psubscribe(f"__keyspace@0__:*:generation:{scope.kind}:{{{scope.id}}}")
        channel.get_message(timeout=1.0)
        return cls(channel)

    def count(self) -> int:
        """The invalidations since the last count."""
        return sum(1 for _ in iter(lambda: self.channel.get_message(timeout=0.1), None))


@dataclass(slots=True)
class Person:
    """A user who has one tag on all activities."""

    id: int
    client: Client
    owner: psycopg.Connection[Any]
    invalidations: Invalidations
    tag: str = "tag 0"
    renamed: int = 0

    def fill(self, count: int) -> None:
        self.owner.execute(ACTIVITIES, {"owner": self.id, "count": count, "tag": self.tag})
        self.owner.execute("VACUUM (ANALYZE) activities")

    async def rename(self) -> None:
        self.renamed += 1
        new = f"tag {self.renamed}"
        began_s = time.perf_counter()
        answer = await self.client.ask("PATCH", f"/tags/{self.tag.replace(' ', '%20')}", {"name": new})
        print(f"renamed in {time.perf_counter() - began_s:.1f} s: {answer.status}", flush=True)
        assert answer.status == 200, answer.body
        self.tag = new

    def wrong(self, count: int) -> list[str]:
        """What is wrong after all renamings so far."""
        about = {"owner": self.id, "tag": self.tag}
        tagged, entries, activities = (
            number for query in (TAGGED, LOGGED) for number in self.owner.execute(query, about).fetchone() or ()
        )
        invalidations = self.invalidations.count()
        print(f"{tagged} have the new tag; {entries} entries of {activities}; {invalidations} invalidations")
        right = tagged == activities == count and entries == count * self.renamed
        return [
            *([] if right else ["not every activity has the new tag and an entry"]),
            *([] if invalidations == self.renamed else [f"{invalidations} invalidations, not {self.renamed}"]),
        ]


async def renamed(count: int, rounds: int, seconds: float) -> list[str]:
    quiet, disturbed = Seen(), Seen()
    with (
        engines() as urls,
        serving(urls, RATE_LIMIT_SCALE="0", WORKERS="2") as instance,
        psycopg.connect(urls.owner_database_url, autocommit=True) as owner,
        Redis.from_url(urls.redis_url) as cache,
    ):
        client = Client(instance.port, await logged_in(instance.port, "tags@example.org"))
        number = (await client.ask("GET", "/users/me")).json()["id"]
        person = Person(number, client, owner, Invalidations.of(cache, user_scope(number)))
        person.fill(count)
        others = [Other(instance.port, await logged_in(instance.port, f"other{n}@example.org")) for n in range(OTHERS)]
        for other in others:
            await other.begin()
        await others_meanwhile(others, Seen(), asyncio.sleep(1))
        for _ in range(rounds):
            await others_meanwhile(others, quiet, asyncio.sleep(seconds))
            await others_meanwhile(others, disturbed, person.rename())
        wrong = person.wrong(count)
    print(f"others alone:      {quiet}\nothers meanwhile:  {disturbed}")
    if disturbed.p99_ms > MOST_TIMES * quiet.p99_ms:
        wrong.append(f"their p99 is {disturbed.p99_ms / quiet.p99_ms:.1f} times as high")
    if {*quiet.statuses, *disturbed.statuses} - {200, 201}:
        wrong.append("others were refused")
    return wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--activities", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=6.0, help="without a renaming, in each round")
    given = options.parse_args()
    wrong = asyncio.run(renamed(given.activities, given.rounds, given.seconds))
    print("\n".join(wrong) or "all well")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
