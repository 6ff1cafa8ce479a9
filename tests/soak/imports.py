"""Whether a file and its activities stay together when the service is killed during imports.

    python -m tests.soak.imports [--kills 50]

Half of the kills hit between the file and the rows: the object store has the file, and has not answered yet. The others
hit between the rows and the answer: PostgreSQL has committed, and the cache does not confirm. After each kill the
service is started again, and the client sends its request again with the same Idempotency-Key. Exits with 1 after a row
without its file, a request that made no activities or made them twice, or a file without a row after the sweep.
"""

import argparse
import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import redis
from ops.local.client import logged_in
from ops.local.service import Instance, engines

from fitness.adapters.embedded.engines import EngineUrls
from fitness.adapters.objects.store import objects_at
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.objects import PostgresObjectNames
from fitness.domain.model.objects import UNNAMED_FOR
from fitness.domain.use_cases.originals import ObjectSweep
from tests.files import gpx, track
from tests.harness.buckets import Bucket, serving_bucket
from tests.patience import PATIENCE_S

EMAIL = "soak@example.org"
PREFIX = "soak/"

# All objects that rows name, with the number of activities of each.
NAMED = """
    SELECT object_name, count(readings)
    FROM originals
    LEFT JOIN readings ON readings.original_id = originals.id
    GROUP BY object_name
"""

WITHOUT_READING = """
    SELECT count(*)
    FROM activities
    WHERE source = 'import' AND NOT EXISTS (SELECT FROM readings WHERE activity_id = activities.id)
"""


@dataclass
class Seen:
    kills: int = 0
    unanswered: int = 0
    left_over: int = 0
    """Files that a kill left without a row."""
    wrong: list[str] = field(default_factory=list)


class InTwoHours:
    def now(self) -> datetime:
        return datetime.now(UTC) + 2 * UNNAMED_FOR


@dataclass
class Stage:
    urls: EngineUrls
    bucket: Bucket
    instance: Instance

    async def kill_between_file_and_rows(self, number: int) -> bool:
        """True if the client got no answer."""
        stored, go_on = threading.Event(), threading.Event()

        def hold(_: str) -> None:
            stored.set()
            go_on.wait(PATIENCE_S)

        self.bucket.stored = hold
        uploading = asyncio.ensure_future(self.upload(number))
        assert await asyncio.to_thread(stored.wait, PATIENCE_S)
        self.instance.kill()
        go_on.set()
        self.bucket.stored = lambda _: None
        return await uploading is None

    async def kill_between_rows_and_answer(self, number: int) -> bool:
        with redis.Redis.from_url(self.urls.redis_url) as cache, psycopg.connect(self.urls.database_url) as there:
            there.autocommit = True
            before = _count(there)
            cache.execute_command("CLIENT", "PAUSE", round(PATIENCE_S * 1000), "WRITE")
            uploading = asyncio.ensure_future(self.upload(number))
            give_up_s = time.monotonic() + PATIENCE_S
            while _count(there) == before:
                assert time.monotonic() < give_up_s
                await asyncio.sleep(0)
            self.instance.kill()
            cache.execute_command("CLIENT", "UNPAUSE")
        return await uploading is None

    async def upload(self, number: int) -> list[int] | None:
        """The ids of the activities; None without an answer."""
        token = await self._token()
        url = f"http://127.0.0.1:{self.instance.port}/api/v1/activities/import"
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"upload-{number}"}
        try:
            async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
                answer = await client.post(url, files={"file": ("a.gpx", a_file(number))}, headers=headers)
        except httpx.TransportError:
            return None
        assert answer.status_code == 201, answer.text
        return [one["id"] for one in answer.json()["items"]]

    async def _token(self) -> str:
        return await logged_in(self.instance.port, EMAIL)

    def look(self, seen: Seen, *, uploads: int) -> None:
        """Note rows without their file, and uploads that did not make their two activities once."""
        with psycopg.connect(self.urls.database_url) as there:
            named: dict[str, int] = dict(there.execute(NAMED.encode()).fetchall())
            orphans = there.execute(WITHOUT_READING.encode()).fetchone()
        objects = {key.removeprefix(PREFIX) for key in self.bucket.objects}
        if named.keys() - objects:
            seen.wrong.append(f"rows without their file: {named.keys() - objects}")
        if orphans != (0,):
            seen.wrong.append(f"{orphans} activities without an original")
        if len(named) != uploads or {*named.values()} != {2}:
            seen.wrong.append(f"{len(named)} originals of {uploads} uploads, with {[*named.values()]} activities")
        seen.left_over = len(objects - named.keys())

    async def sweep(self, seen: Seen) -> int:
        database = Database(self.urls.database_url)
        await database.open()
        try:
            objects = objects_at(f"s3://bucket/{PREFIX}".rstrip("/"), Path("/nowhere"))
            deleted = await ObjectSweep(objects, PostgresObjectNames(database), InTwoHours()).sweep()
            with psycopg.connect(self.urls.database_url) as there:
                named = {name for name, _ in there.execute(NAMED.encode()).fetchall()}
            left = {key.removeprefix(PREFIX) for key in self.bucket.objects}
            if left != named:
                seen.wrong.append(f"after the sweep {left - named} have no row, {named - left} are gone")
        finally:
            await database.close()
        return deleted


def a_file(number: int) -> bytes:
    """A file with two runs, on a day that no other file has."""
    day = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=number)
    return gpx(
        *(
            track(*(f"{day:%Y-%m-%d}T{hour:02}:{minute:02}:00Z" for minute in (0, 5, 10)), name=f"{number}")
            for hour in (1, 20)
        )
    )


@contextmanager
def stage(urls: EngineUrls) -> Iterator[Stage]:
    with ExitStack() as stack:
        bucket, environment = stack.enter_context(serving_bucket())
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)  # for the service, and for the sweep in this process
        stack.callback(lambda: [os.environ.pop(name) for name, value in before.items() if value is None])
        settings = {"RATE_LIMIT_SCALE": "0", "OBJECTS_URL": f"s3://bucket/{PREFIX}".rstrip("/")}
        instance = Instance(urls, settings)
        stack.callback(instance.stop)
        yield Stage(urls, bucket, instance)


async def killed(stage: Stage, kills: int) -> Seen:
    seen = Seen()
    stage.instance.start()
    for number in range(kills):
        kill = stage.kill_between_file_and_rows if number % 2 == 0 else stage.kill_between_rows_and_answer
        seen.unanswered += await kill(number)
        seen.kills += 1
        await asyncio.to_thread(stage.instance.start)
        await stage.upload(number)
        stage.look(seen, uploads=number + 1)
        print(f"\rkilled {seen.kills} times", end="", file=sys.stderr, flush=True)
    return seen


def _count(there: "psycopg.Connection[tuple[object, ...]]") -> object:
    return there.execute("SELECT count(*) FROM originals").fetchone()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    given = options.parse_args()
    with engines() as urls, stage(urls) as one:
        seen = asyncio.run(killed(one, given.kills))
        swept = asyncio.run(one.sweep(seen))
    print(f"\r{seen.kills} kills, {seen.unanswered} uploads without an answer, all made by the second try")
    print(f"{seen.left_over} files without a row, {swept} deleted by the sweep")
    for what in seen.wrong:
        print(what)
    if seen.wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
