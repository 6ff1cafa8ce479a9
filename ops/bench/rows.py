"""Measures what a list costs with few and with many activities in the database, for a user with many and one with few.

    python -m ops.bench.rows [--rows 5000000] [--folder DIR] [--inserts]

It starts PostgreSQL in a folder of its own, and makes two databases: with 100 000 activities and with `--rows`. In
each, one user has 50 000 activities and one has 500, scattered over the table; everybody else has about 500. Half are
tagged; notes have some 30 words. Then each list is read 40 times through the project's own repository, over one
connection to each database, from both databases and for both users in turn: so the plan that PostgreSQL keeps after
some runs is measured too, and other work on the machine slows both alike. Each list includes its `total`. `wall` is the
time that the caller waits, in milliseconds, and `cpu` the CPU time of the server's process, which is the figure to
compare on a busy machine. A folder that is named is kept, and its databases are used again.

`--inserts` measures instead what the indexes of the lists cost an insert: it inserts into two databases of `--rows` in
turn, one with the schema from before these indexes and one with the whole schema.
"""

import argparse
import asyncio
import secrets
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
from ops.bench.people import FEW, MANY, fill
from ops.local.service import own_folder
from psycopg.conninfo import make_conninfo

from fitness.adapters.embedded.engines import running_engines
from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.migration_files import shipped_migrations
from fitness.adapters.postgres.migration_runner import Migrations
from fitness.domain.model.activities import ActivityType, NewActivity, recorded
from fitness.domain.model.listings import ActivityFilter, Page, Range, Sort, position_of
from fitness.domain.model.text import folded
from fitness.ports.messages import Messages

BASE = 100_000
RUNS = 40
INSERTS = 1_500
BEFORE_LISTS = 11
"""The last migration without the columns and indexes of the lists."""
WITH_COLUMNS = 13
"""The last migration before the indexes."""

RUN, RIDE, GOLF = (ActivityType.RUN,), (ActivityType.RIDE, ActivityType.SWIM), (ActivityType.GOLF,)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def words(text: str) -> ActivityFilter:
    return ActivityFilter(words=tuple(folded(text).split()))


LISTS = {
    "first page": ActivityFilter(),
    "type, common": ActivityFilter(activity_types=RUN),
    "type, rare": ActivityFilter(activity_types=GOLF),
    "two types": ActivityFilter(activity_types=RIDE),
    "tag, common": ActivityFilter(tags=("hills",)),
    "tag, rare": ActivityFilter(tags=("race",)),
    "exclude_tag": ActivityFilter(excluded_tags=("hills",)),
    "3 months, as dates": ActivityFilter(since=date(2020, 1, 1), until=date(2020, 3, 31)),
    "10 years, as dates": ActivityFilter(since=date(2010, 1, 1), until=date(2019, 12, 31)),
    "3 months, as instants": ActivityFilter(
        since=datetime(2020, 1, 1, tzinfo=UTC), until=datetime(2020, 4, 1, tzinfo=UTC)
    ),
    "distance": ActivityFilter(distance_km=Range(10.0, 12.0)),
    "duration": ActivityFilter(duration_minutes=Range(170.0)),
    **{f"sort={sort}": ActivityFilter(sort=sort) for sort in Sort},
    "type and tag": ActivityFilter(activity_types=RUN, tags=("race",)),
    "type and distance": ActivityFilter(activity_types=GOLF, distance_km=Range(10.0)),
    "tag and year": ActivityFilter(tags=("hills",), since=date(2020, 1, 1), until=date(2020, 12, 31)),
    "type, -distance": ActivityFilter(activity_types=RUN, sort=Sort.FARTHEST),
    "tag, duration": ActivityFilter(tags=("race",), sort=Sort.SHORTEST),
    "q, rare": words("quokka"),
    "q, common": words("marathon"),
    "q, two words": words("marathon quokka"),
    "q, two common": words("hills lake"),
    "q, accents": words("CAFÉ été"),
    "q, two letters": words("qu"),
    "q, nowhere": words("zeppelin"),
    "q and type": ActivityFilter(words=("marathon",), activity_types=GOLF),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one list or insert, in milliseconds."""

    wall_ms: list[float]
    cpu_ms: list[float]

    def __str__(self) -> str:
        wall, cpu = statistics.median(self.wall_ms), statistics.median(self.cpu_ms)
        return f"{wall:7.2f} {max(self.wall_ms):7.2f} {cpu:7.2f}"


class Server:
    """The PostgreSQL process that serves a database's only connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pid = 0

    async def find(self) -> None:
        self._pid = (await self._database.one("SELECT pg_backend_pid()") or (0,))[0]

    def cpu_s(self) -> float:
        return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[0]) / 1e9


async def measured(ask: Callable[[], Awaitable[object]], server: Server, cost: Cost) -> None:
    cpu_s, started_s = server.cpu_s(), time.perf_counter()
    await ask()
    cost.wall_ms.append((time.perf_counter() - started_s) * 1e3)
    cost.cpu_ms.append((server.cpu_s() - cpu_s) * 1e3)


@contextmanager
def cluster(folder: Path | None) -> Iterator[str]:
    """The address of a server; its data stays in `folder`, or is deleted afterwards if that is None."""
    if folder is not None:
        with running_engines(folder.absolute()) as urls:
            yield urls.owner_database_url
        return
    with own_folder() as temporary, running_engines(temporary) as urls:
        yield urls.owner_database_url


def filled(server: str, name: str, rows: int, *, versions: int | None = None) -> str:
    """The address of database `name`, with `rows` activities and the first `versions` migrations; None means all."""
    url = make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None:
            return url
        connection.execute(f"CREATE DATABASE {name}".encode())
    shipped = shipped_migrations()
    columns = min(versions or WITH_COLUMNS, WITH_COLUMNS)
    Migrations(url, shipped[:columns]).up()
    started_s = time.monotonic()
    fill(url, rows)
    Migrations(url, shipped[:versions]).up()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) activities")
    print(f"{name}: {rows} activities in {time.monotonic() - started_s:.0f} s", file=sys.stderr, flush=True)
    return url


async def lists(*urls: str, runs: int = RUNS) -> dict[str, dict[int, list[Cost]]]:
    """What each list costs the user with many activities and the user with few, in each database of `urls`."""
    databases = [Database(url, max_connections=1, deadline_s=30.0) for url in urls]
    servers, repos = [*map(Server, databases)], [*map(PostgresActivityRepo, databases)]
    for database, server in zip(databases, servers, strict=True):
        await database.open()
        await server.find()
    found: dict[str, dict[int, list[Cost]]] = {}
    deep = [(await repo.list(MANY, ActivityFilter(), Page(number=100, limit=100))).items[-1] for repo in repos]
    onward = [Page(after=position_of(last, Sort.NEWEST), counted=False) for last in deep]
    asked = {name: (which, [Page()] * len(urls)) for name, which in LISTS.items()}
    asked["by cursor, 10 000 deep"] = (ActivityFilter(), onward)
    asked["page 500"] = (ActivityFilter(), [Page(number=500)] * len(urls))
    for name, (which, pages) in asked.items():
        costs = {person: [Cost([], []) for _ in urls] for person in (MANY, FEW)}
        for _ in range(runs):
            for person, in_each in costs.items():
                for repo, server, page, cost in zip(repos, servers, pages, in_each, strict=True):
                    await measured(lambda: repo.list(person, which, page), server, cost)  # noqa: B023
        found[name] = costs
    for database in databases:
        await database.close()
    return found


async def inserts(before: str, after: str, *, count: int = INSERTS) -> tuple[Cost, Cost]:
    """What an insert costs without the columns and indexes of the lists, and with them."""
    databases = [Database(url, max_connections=1, deadline_s=30.0) for url in (before, after)]
    servers, repos = [*map(Server, databases)], [*map(PostgresActivityRepo, databases)]
    costs = Cost([], []), Cost([], [])
    for database, server in zip(databases, servers, strict=True):
        await database.open()
        await server.find()
    people = (await databases[0].one("SELECT count(*) FROM users") or (0,))[0]
    for number in range(count):
        new = NewActivity(
            activity_type=ActivityType.RUN,
            activity_date=NOW,
            duration_minutes=30.0,
            distance_km=number / 100,
            title=f"Morning {number}",
            notes=NOTES if number % 10 else f"{NOTES} café",
            tags=("commute", "rain"),
        )
        activity = recorded(new, user_id=1 + number * 7_919 % people, timezone="UTC", now=NOW)
        for repo, server, cost in zip(repos, servers, costs, strict=True):
            await measured(lambda: repo.add(activity, messages=Messages(id=secrets.randbits(62))), server, cost)  # noqa: B023
    for database in databases:
        await database.close()
    return costs


NOTES = "easy long run along the lake with wind and cold rain and a sun that came late " * 2


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=5_000_000)
    options.add_argument("--folder", type=Path, help="keep the databases there, and use them again")
    options.add_argument("--inserts", action="store_true")
    given = options.parse_args()
    with cluster(given.folder) as server:
        if given.inserts:
            urls = [filled(server, f"before_{given.rows}", given.rows, versions=BEFORE_LISTS)]
            urls.append(filled(server, f"after_{given.rows}", given.rows))
            print(f"{'an insert, ms':24} {'median':>7} {'slowest':>7} {'cpu':>7}")
            for name, cost in zip(("without the indexes", "with them"), asyncio.run(inserts(*urls)), strict=True):
                print(f"{name:24} {cost}")
            return
        found = asyncio.run(lists(*(filled(server, f"rows_{rows}", rows) for rows in (BASE, given.rows))))
    for person, has in ((MANY, "50 000"), (FEW, "500")):
        head = f"{'median':>7} {'slowest':>7} {'cpu':>7}"
        print(f"\n{f'a person with {has}, ms':24}   {f'of {BASE}':^23}   {f'of {given.rows}':^23}")
        print(f"{'':24}   {head}   {head}   ratio of cpu")
        for name, costs in found.items():
            one, other = costs[person]
            ratio = statistics.median(other.cpu_ms) / statistics.median(one.cpu_ms)
            print(f"{name:24}   {one}   {other}   {ratio:.2f}")


if __name__ == "__main__":
    main()
