"""Measures what statistics cost a user with 50 000 activities, in a database where others have many more.

    python -m ops.bench.stats [--rows 1200000] [--folder DIR]

It starts PostgreSQL in a folder of its own and makes a database of `--rows` activities, as `python -m ops.bench.rows`
does. The user's 50 000 activities are of 20 years. For the longest range of each period, once of whole weeks and months
and once with both ends cut off, it asks the project's own repository for all activities, for one type, for a tag that a
sixth of them have, for all without that tag, and for all without a tag that a third have. After 12 runs, which warm the
caches and let PostgreSQL choose its plans, 20 runs are measured; each figure is their median, in milliseconds:

    execution   time of all statements together, by EXPLAIN (ANALYZE, TIMING OFF)
    server      CPU of the server's process, including planning, transactions and sending
    client      CPU of this process
    wall        time that the caller waited

On an idle machine `execution` should be at most 2 without tags, and 15 with tags. On a busy machine `execution` is
mostly waiting, and `server` is the figure to compare.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, LiteralString, TypeVar, cast

from ops.bench.people import MANY
from ops.bench.rows import RUNS, Server, cluster, filled

from fitness.adapters.postgres.database import Connection, Database, Work
from fitness.adapters.postgres.statistics import PostgresStatisticsRepo
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.periods import DAY, Period, bucket_start
from fitness.domain.model.statistics import StatisticsFilter
from fitness.domain.model.users import WeekStart

ROWS = 1_200_000
WARMING = 12
NO_FILTER: dict[str, Any] = {}
FILTERS: dict[str, dict[str, Any]] = {
    "plain": NO_FILTER,
    "type": {"activity_types": (ActivityType.RUN,)},
    "tag": {"tags": ("hills",)},
    "exclude_tag": {"excluded_tags": ("hills",)},
    "other exclude_tag": {"excluded_tags": ("rain",)},
}
LAST_DAY = "SELECT max(local_date) FROM live_activities WHERE user_id = %(owner)s"
EXPLAIN: LiteralString = "EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF, FORMAT JSON) "
HEAD = f"{'':34} {'activities':>10} {'execution':>9} {'server':>7} {'client':>7} {'wall':>7}"

Statement = tuple[LiteralString, Mapping[str, Any] | None]
T = TypeVar("T")


@dataclass(slots=True)
class Costs:
    """The costs of one question, each time that it was asked, in milliseconds."""

    activities: int = 0
    execution_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    client_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        execution, *others = map(statistics.median, (self.execution_ms, self.server_ms, self.client_ms, self.wall_ms))
        return f"{self.activities:>10} {execution:9.2f} " + " ".join(f"{one:7.2f}" for one in others)


class Noting:
    """A connection that records the statements that it executes."""

    def __init__(self, connection: Connection, statements: list[Statement]) -> None:
        self._connection, self._statements = connection, statements

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, query: LiteralString, parameters: Mapping[str, Any] | None = None) -> Any:
        self._statements.append((query, parameters))
        return await self._connection.execute(query, parameters)


class NotingDatabase(Database):
    """Records executed statements while `statements` is a list."""

    statements: list[Statement] | None = None

    async def run(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        if self.statements is None:
            return await super().run(work, deadline_s=deadline_s)
        statements = self.statements
        return await super().run(lambda connection: work(cast(Connection, Noting(connection, statements))))


def questions(last: date) -> Iterator[tuple[str, StatisticsFilter]]:
    """The longest ranges that end on or before the last day, without and with filters."""
    for name, period, cut in (
        ("daily, 400", Period.DAILY, 0),
        ("weekly, 160", Period.WEEKLY, 0),
        ("weekly, cut off", Period.WEEKLY, 1),
        ("monthly, 120", Period.MONTHLY, 0),
        ("monthly, cut off", Period.MONTHLY, 1),
    ):
        until = last if period is Period.DAILY else bucket_start(last, period, WeekStart.MONDAY) - DAY
        since = until
        for _ in range(period.most - 1):
            since = bucket_start(since, period, WeekStart.MONDAY) - DAY
        since = bucket_start(since, period, WeekStart.MONDAY)
        aside = timedelta(days=cut)
        whole = StatisticsFilter(period=period, week_start=WeekStart.MONDAY, since=since + aside, until=until - aside)
        for filtered, values in FILTERS.items():
            yield f"{name:16} {filtered}", replace(whole, **values)


async def execution_ms(database: Database, statements: list[Statement]) -> float:
    """The execution time of all statements in one transaction."""

    async def work(connection: Connection) -> float:
        total_ms = 0.0
        for query, parameters in statements:
            if query.lstrip().startswith("SELECT"):
                (plans,) = await (await connection.execute(EXPLAIN + query, parameters)).fetchone() or ([],)
                total_ms += sum(plan["Execution Time"] for plan in plans)
            elif query.startswith("SET LOCAL"):
                await connection.execute(query)
        return total_ms

    return await database.transaction(work)


async def costs(url: str, *, runs: int = RUNS, warming: int = WARMING) -> dict[str, Costs]:
    database = NotingDatabase(url, max_connections=1, deadline_s=30.0)
    await database.open()
    repo, server = PostgresStatisticsRepo(database), Server(database)
    await server.find()
    (last,) = await database.one(LAST_DAY, {"owner": MANY}) or (None,)
    found: dict[str, Costs] = {}
    for name, which in questions(last):
        cost = found[name] = Costs()
        for _ in range(warming):
            cost.activities = sum(part.sums.activities for part in (await repo.find(MANY, which)).parts)
        for _ in range(runs):
            server_s, client_s, began_s = server.cpu_s(), time.process_time(), time.perf_counter()
            await repo.find(MANY, which)
            cost.wall_ms.append((time.perf_counter() - began_s) * 1e3)
            cost.client_ms.append((time.process_time() - client_s) * 1e3)
            cost.server_ms.append((server.cpu_s() - server_s) * 1e3)
        statements: list[Statement] = []
        database.statements = statements
        await repo.find(MANY, which)
        database.statements = None
        cost.execution_ms = [await execution_ms(database, statements) for _ in range(runs)]
    await database.close()
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--folder", type=Path, help="keep the database there, and use it again")
    given = options.parse_args()
    with cluster(given.folder) as server:
        found = asyncio.run(costs(filled(server, f"rows_{given.rows}", given.rows)))
    print(HEAD)
    for name, cost in found.items():
        print(f"{name:34} {cost}")


if __name__ == "__main__":
    main()
