"""Migrates a database of a million activities to the present schema while people write.

    python -m tests.soak.migrating [--rows 1000000] [--from 18]

It fills a database with the migrations up to `--from`: one user has 50 000 activities, everybody else about 500. Then
all later migrations are applied, while four writers, under the service's own statement timeout, record activities and
change them, for the user with many activities and for the others. No write may fail or be lost, and none may take
longer than the service waits for an answer. (018 itself, which counts twenty users under one lock, keeps writes waiting
for a second if one of them has 50 000 activities.) At the end the kept totals must agree with the activities. Exits
with 1 if any of it fails.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event

import psycopg
from ops.bench.people import MANY, fill
from ops.local.service import engines
from psycopg.conninfo import make_conninfo

from fitness.adapters.postgres.database import DEADLINE_S
from fitness.adapters.postgres.migration_files import shipped_migrations
from fitness.adapters.postgres.migration_runner import Migrations
from fitness.adapters.postgres.session import STATEMENT_TIMEOUT_MS
from fitness.adapters.postgres.totals_diagnosis import TotalsDiagnosis
from fitness.ports.health import Verdict

NAME = "migrating"
WRITERS = 4
PAUSE_S = 0.01
RECORD = """
    INSERT INTO activities (user_id, version, activity_type, activity_date, timezone, local_date, duration_minutes,
        distance_km, source, created_at, updated_at)
    VALUES (%(owner)s, 1, 'run', now(), 'UTC', now(), 30, 5, 'manual', now(), now())
    RETURNING id
"""
CHANGE = "UPDATE activities SET version = version + 1, distance_km = 6 WHERE id = %(id)s"
KEPT = "SELECT count(*), sum(version - 1) FROM activities"


@dataclass(slots=True)
class Writer:
    """A writer whose every write is a transaction that inserts an activity and changes it."""

    url: str
    number: int
    people: int
    over: Event
    written: int = 0
    slowest_s: float = 0.0
    errors: list[str] = field(default_factory=list)

    def write(self) -> None:
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
        with psycopg.connect(self.url, autocommit=True, options=options) as connection:
            while not self.over.is_set():
                began_s = time.perf_counter()
                try:
                    self._once(connection)
                    self.written += 1
                except psycopg.Error as error:
                    self.errors.append(str(error))
                self.slowest_s = max(self.slowest_s, time.perf_counter() - began_s)
                time.sleep(PAUSE_S)

    def _once(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        owner = MANY if self.number == 0 else 1 + (self.written * WRITERS + self.number) % self.people
        with connection.transaction():
            (recorded,) = connection.execute(RECORD, {"owner": owner}).fetchone() or (None,)
            connection.execute(CHANGE, {"id": recorded})


def migrated(server: str, rows: int, version: int) -> list[str]:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {NAME}".encode())
    url = make_conninfo(server, dbname=NAME)
    Migrations(url, [one for one in shipped_migrations() if one.version <= version]).up()
    fill(url, rows)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) activities")
        (people,) = connection.execute("SELECT count(*) FROM users").fetchone() or (0,)
    over = Event()
    writers = [Writer(url, number, people, over) for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as threads:
        running = [threads.submit(one.write) for one in writers]
        try:
            late = [*_each_applied(url, version, writers)]
        finally:
            over.set()
        for one in running:
            one.result()
    wrong = [f"{title}: a write took longer than the service waits" for title in late]
    return [*wrong, *_wrong(url, rows, writers)]


def _each_applied(url: str, version: int, writers: list[Writer]) -> Iterator[str]:
    """Apply each migration; yields the titles of those during which a write took too long."""
    shipped = shipped_migrations()
    for number in (place for place, one in enumerate(shipped, 1) if one.version > version):
        before, began_s = sum(one.written for one in writers), time.perf_counter()
        for one in writers:
            one.slowest_s = 0.0
        (title,) = Migrations(url, shipped[:number]).up()
        time.sleep(DEADLINE_S)  # time for a waiting write to end
        slowest_s, written = max(one.slowest_s for one in writers), sum(one.written for one in writers) - before
        print(
            f"{title:36} {time.perf_counter() - began_s - DEADLINE_S:6.1f} s, {written:6} writes, the slowest "
            f"{slowest_s * 1e3:4.0f} ms",
            flush=True,
        )
        if slowest_s > DEADLINE_S:
            yield title


def _wrong(url: str, rows: int, writers: list[Writer]) -> list[str]:
    wrong = [f"a write failed: {error}" for one in writers for error in one.errors]
    written = sum(one.written for one in writers)
    with psycopg.connect(url) as connection:
        kept = connection.execute(KEPT).fetchone()
    if kept != (rows + written, written):
        wrong.append(f"{kept} are kept, not {(rows + written, written)}")
    found = asyncio.run(TotalsDiagnosis(url).diagnose())
    if [one.verdict for one in found] != [Verdict.GOOD]:
        wrong.append(f"totals: {found}")
    return wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--from", dest="version", type=int, default=18)
    given = options.parse_args()
    with engines() as urls:
        wrong = migrated(urls.owner_database_url, given.rows, given.version)
    print("\n".join(wrong) or "all well")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
