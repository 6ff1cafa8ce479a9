"""Whether anything acknowledged is lost when the service is killed again and again while it writes.

    python -m tests.soak.crashes [--kills 20] [--rate 200]

The stores keep running, so that the cache has its content from before the kill. A client without an answer sends its
request again with the same Idempotency-Key. Exits with 1 after a missing write, a second activity for one key, or an
answer that differs from the database a second after the service is back.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field

import psycopg
from ops.local.client import Client, logged_in
from ops.local.service import Instance, engines
from psycopg.rows import tuple_row

from fitness.adapters.embedded.engines import EngineUrls

WRITERS = 40
BODY = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}


@dataclass
class Written:
    """The writes that the service has acknowledged, by the key of the creation."""

    titles: dict[str, str] = field(default_factory=dict)
    """The last acknowledged title."""
    pending: dict[str, str] = field(default_factory=dict)
    """A title that was sent and not answered yet."""
    ids: dict[str, int] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)
    writes: int = 0
    missing: int = 0
    doubled: int = 0
    differing: int = 0


async def write(port: int, token: str, written: Written, pause_s: float) -> None:
    """Create and change activities until the service is gone."""
    client = Client(port, token)
    due_s = time.monotonic() + random.uniform(0, pause_s)
    try:
        while True:
            await asyncio.sleep(due_s - time.monotonic())
            due_s += pause_s
            if written.ids and random.random() < 0.5:
                key = random.choice([*written.ids])
                if key in written.pending:
                    continue
                title = f"{key} {random.random()}"
                written.pending[key] = title
                answer = await client.ask("PATCH", f"/activities/{written.ids[key]}", {"title": title})
                assert answer.status == 200, answer.body
                written.titles[key] = title
                del written.pending[key]
            else:
                key = f"key-{random.getrandbits(64):016x}"
                written.unanswered.append(key)
                await create(client, written, key)
            written.writes += 1
            # Reads make the cached copies that might be wrong.
            await client.ask("GET", f"/activities/{written.ids[key]}")
            await client.ask("GET", "/activities")
    except ConnectionError:
        client.close()


async def create(client: Client, written: Written, key: str) -> None:
    answer = await client.ask("POST", "/activities", BODY | {"title": key}, headers=f"idempotency-key: {key}\r\n")
    assert answer.status == 201, answer.body
    written.ids[key] = answer.json()["id"]
    written.titles.setdefault(key, answer.json()["title"])
    written.unanswered.remove(key)


async def compare(port: int, token: str, urls: EngineUrls, written: Written) -> None:
    """Send unanswered requests again, and compare the service's answers with the database."""
    client = Client(port, token)
    for key in [*written.unanswered]:
        await create(client, written, key)
    async with await psycopg.AsyncConnection.connect(urls.owner_database_url, row_factory=tuple_row) as connection:
        rows = await (await connection.execute("SELECT id, title, version FROM live_activities")).fetchall()
    kept = {row[0]: (row[1], row[2]) for row in rows}
    for key, activity_id in written.ids.items():
        title = kept[activity_id][0] if activity_id in kept else None
        written.missing += title not in (written.titles[key], written.pending.get(key))
        written.titles[key] = title or ""
    written.doubled += len(kept) - len(written.ids)
    written.pending.clear()
    for activity_id in random.sample([*kept], min(len(kept), 400)):
        shown = (await client.ask("GET", f"/activities/{activity_id}")).json()
        written.differing += (shown["title"], shown["version"]) != kept[activity_id]
    for item in (await client.ask("GET", "/activities")).json()["items"]:
        written.differing += (item["title"], item["version"]) != kept[item["id"]]
    client.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--rate", type=int, default=200, help="writes a second")
    given = options.parse_args()
    written, writing_s = Written(), 0.0
    with engines() as urls:
        instance = Instance(urls, {"RATE_LIMIT_SCALE": "0"})
        instance.start()
        for number in range(given.kills):
            writing_s += asyncio.run(until_killed(instance, written, WRITERS / given.rate))
            instance.start()
            time.sleep(1)
            asyncio.run(compared(instance, urls, written))
            print(f"\rkilled {number + 1} times, {written.writes} writes", end="", file=sys.stderr, flush=True)
        instance.stop()
    print(f"\r{given.kills} kills, {written.writes} acknowledged writes at {written.writes / writing_s:.0f} a second")
    print(f"missing {written.missing}, second ones {written.doubled}, cache and database differ {written.differing}")
    if written.missing or written.doubled or written.differing:
        sys.exit(1)


async def until_killed(instance: Instance, written: Written, pause_s: float) -> float:
    token = await logged_in(instance.port, "soak@example.org")
    writers: list[Coroutine[None, None, None]] = [write(instance.port, token, written, pause_s) for _ in range(WRITERS)]
    running = [asyncio.ensure_future(writer) for writer in writers]
    span_s = random.uniform(1, 2.5)
    await asyncio.sleep(span_s)
    instance.kill()
    await asyncio.gather(*running)
    return span_s


async def compared(instance: Instance, urls: EngineUrls, written: Written) -> None:
    await compare(instance.port, await logged_in(instance.port, "soak@example.org"), urls, written)


if __name__ == "__main__":
    main()
