"""Whether any read shows less than what was acknowledged before it began: many clients on several worker processes.

    python -m tests.soak.freshness [--seconds 60] [--workers 4] [--clients 64]

Exits with 1 after a stale read, a wrong answer, or fewer than 100 000 reads and 5 000 writes in a minute.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from ops.local.client import Client, logged_in
from ops.local.service import engines, serving

USERS = 16
ACTIVITIES = 12
WRITE_SHARE = 0.06
READS_A_MINUTE = 100_000
WRITES_A_MINUTE = 5_000


@dataclass
class Known:
    """An activity as its writers know it. Its version rises by one with each change."""

    id: int
    promised: int = 1
    """The last acknowledged version."""
    trashed: list[int] = field(default_factory=list)
    """Versions at which it is in the trash, noted before the delete is sent."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def may_be_gone(self, promised: int) -> bool:
        """Whether a read that began when `promised` was acknowledged may find it in the trash."""
        return bool(self.trashed) and self.trashed[-1] >= promised


@dataclass
class Soak:
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    stop: bool = False

    async def client(self, client: Client, activities: list[Known], *, report: bool) -> None:
        while not self.stop:
            one = random.choice(activities)
            turn = random.random()
            if turn < WRITE_SHARE:
                await self.write(client, one)
            elif turn < 0.3:
                await self.read_list(client, activities)
            else:
                await self.read(client, one)
            if report and self.counts["reads"] % 5_000 < 20:
                print(f"\r{dict(self.counts)}", end="", file=sys.stderr, flush=True)

    async def read(self, client: Client, one: Known) -> None:
        promised = one.promised
        answer = await client.ask("GET", f"/activities/{one.id}")
        self.note(answer.headers)
        if answer.status == 200:
            self.judge(answer.json()["version"] >= promised, f"{one.id}: older than {promised}: {answer.body!r}")
        else:
            self.judge(answer.status == 410 and one.may_be_gone(promised), f"{one.id}: {answer.status} {answer.body!r}")

    async def read_list(self, client: Client, activities: list[Known]) -> None:
        promised = [one.promised for one in activities]
        answer = await client.ask("GET", "/activities")
        self.note(answer.headers)
        if answer.status != 200:
            self.judge(False, f"list: {answer.status} {answer.body!r}")
            return
        shown = {item["id"]: item["version"] for item in answer.json()["items"]}
        right = all(
            shown[one.id] >= at_least if one.id in shown else one.may_be_gone(at_least)
            for one, at_least in zip(activities, promised, strict=True)
        )
        self.judge(right, f"list: {shown}, promised {promised}")

    async def write(self, client: Client, one: Known) -> None:
        async with one.writing:
            if random.random() < 0.7:
                answer = await client.ask("PATCH", f"/activities/{one.id}", {"title": f"title {random.random()}"})
                self.acknowledged(one, one.promised + 1, answer.status == 200)
                return
            one.trashed.append(one.promised + 1)
            answer = await client.ask("DELETE", f"/activities/{one.id}")
            self.acknowledged(one, one.promised + 1, answer.status == 204)
            answer = await client.ask("POST", f"/activities/{one.id}/restore")
            self.acknowledged(one, one.promised + 1, answer.status == 200)

    def acknowledged(self, one: Known, version: int, right: bool) -> None:
        one.promised = version
        self.counts["writes"] += 1
        if not right:
            self.wrong.append(f"{one.id}: a write was refused")

    def note(self, headers: bytes) -> None:
        _, _, rest = headers.partition(b"x-cache: ")
        self.counts[rest[: rest.find(b"\r")].decode() or "none"] += 1

    def judge(self, right: bool, what: str) -> None:
        self.counts["reads"] += 1
        if not right:
            self.wrong.append(what)


async def soaked(port: int, seconds: float, clients: int) -> Soak:
    soak = Soak()
    tokens = [await logged_in(port, f"soak{number}@example.org") for number in range(USERS)]
    owned = []
    for token in tokens:
        client = Client(port, token)
        body = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}
        made = [(await client.ask("POST", "/activities", body)).json() for _ in range(ACTIVITIES)]
        owned.append([Known(activity["id"]) for activity in made])
        client.close()
    running = [
        asyncio.ensure_future(
            soak.client(Client(port, tokens[number % USERS]), owned[number % USERS], report=number == 0)
        )
        for number in range(clients)
    ]
    await asyncio.sleep(seconds)
    soak.stop = True
    await asyncio.gather(*running)
    return soak


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--clients", type=int, default=64)
    given = options.parse_args()
    with engines() as urls, serving(urls, WORKERS=str(given.workers), RATE_LIMIT_SCALE="0") as instance:
        started_s = time.monotonic()
        soak = asyncio.run(soaked(instance.port, given.seconds, given.clients))
        took_s = time.monotonic() - started_s
    print(f"\r{given.workers} workers, {given.clients} clients, {took_s:.0f} s: {dict(soak.counts)}")
    print(f"stale or wrong: {len(soak.wrong)}", *soak.wrong[:10], sep="\n")
    minutes = given.seconds / 60
    enough = soak.counts["reads"] >= READS_A_MINUTE * minutes and soak.counts["writes"] >= WRITES_A_MINUTE * minutes
    if soak.wrong or not enough:
        sys.exit("not enough was asked" if not soak.wrong else 1)


if __name__ == "__main__":
    main()
