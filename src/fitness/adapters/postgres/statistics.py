"""Statistics in PostgreSQL: from totals that are kept by month and by part of a week, else from the index of the lists.

Whole weeks and months are read from activity_totals. Statistics by day or by tag, and incomplete weeks and months at
the ends of the range, are added up from the activities: in this process if they are few, else by PostgreSQL. If the
tags leave out few activities, those are added up and subtracted from the totals.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, LiteralString

from fitness.adapters.postgres import statistics_rows
from fitness.adapters.postgres.database import Connection, Database, Row
from fitness.adapters.postgres.statistics_groups import Looked, are_most, grouped, others_grouped, part
from fitness.adapters.postgres.statistics_records import Bounds, records
from fitness.domain.model.periods import DAY, Period, bucket_start
from fitness.domain.model.statistics import Days, Found, Part, StatisticsFilter, left_of, merged

FEW = 6_000
"""Fifteen activities a day for the 400 days that may be asked for. Adding them up takes this process 10 ms."""

ONE_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

# PostgreSQL plans without knowing the parameters: it expects few activities, and would sort them to add them up.
BY_HASHES = "SET LOCAL enable_sort = off"

KEPT = """
    SELECT
        starts_on, activity_type, activities, duration, elapsed, distance_m, climb_mm, calories_kcal,
        with_distance, duration_with_distance, with_heart_rate, duration_with_heart_rate, heartbeats
    FROM activity_totals
    WHERE user_id = %(owner)s AND span = %(span)s AND starts_on BETWEEN %(since)s AND %(until)s AND activities > 0
        AND (%(any_type)s OR activity_type = ANY(%(activity_types)s))
"""

MONTHS = """
    SELECT starts_on, max(longest), max(furthest_m), max(most_climb_mm), sum(days)::text
    FROM activity_totals
    WHERE user_id = %(owner)s AND span = 'month' AND starts_on BETWEEN %(since)s AND %(until)s AND activities > 0
        AND (%(any_type)s OR activity_type = ANY(%(activity_types)s))
    GROUP BY starts_on
"""

DIGITS_OF_A_DAY = 8

NEXT = "SELECT min(id) FROM users WHERE id > %(after)s"

REBUILD = "SELECT rebuild_activity_totals(%(id)s, %(id)s)"

REBUILD_S = 60.0
"""The longest rebuild of a user's totals; no request waits for it. 50 000 activities take less than a second."""

PATIENTLY = (
    f"SELECT set_config('statement_timeout', '{REBUILD_S}s', true), set_config('transaction_timeout', '0', true)"
)


class PostgresStatisticsRepo:
    def __init__(self, database: Database, *, few: int = FEW) -> None:
        """Up to `few` activities by day, and up to `few` at each end of a range, are added up in this process."""
        self._database = database
        self._few = few

    async def find(self, owner: int, which: StatisticsFilter) -> Found:
        if which.period is Period.DAILY:
            rows = await self._database.run(lambda connection: self._read(connection, owner, which))
            if rows is not None:
                return statistics_rows.found_by_day(rows, which)

        async def work(connection: Connection) -> Found:
            await connection.execute(ONE_SNAPSHOT)
            await connection.execute(BY_HASHES)
            looked = await self._look(connection, owner, which)
            found = await records(connection, owner, which, looked.bounds)
            return Found(merged(looked.parts), found, tuple(map(date.fromordinal, sorted(looked.days))))

        return await self._database.transaction(work)

    async def rebuild(self, *, after: int = 0) -> int | None:
        row = await self._database.one(NEXT, {"after": after})
        following = row[0] if row else None
        if following is not None:

            async def work(connection: Connection) -> None:
                async with connection.transaction():
                    await connection.execute(PATIENTLY)
                    await connection.execute(REBUILD, {"id": following})

            await self._database.run(work, deadline_s=REBUILD_S)
        return following

    async def _read(
        self, connection: Connection, owner: int, which: StatisticsFilter
    ) -> list[statistics_rows.Row] | None:
        return await statistics_rows.read(connection, owner, which, most=self._few)

    async def _look(self, connection: Connection, owner: int, which: StatisticsFilter) -> Looked:
        if which.period is Period.DAILY:
            return await grouped(connection, owner, which)
        if not which.tags and not which.excluded_tags:
            return await self._from_totals(connection, owner, which)
        if not await are_most(connection, owner, which):
            return await grouped(connection, owner, which)
        # Adding up the smaller part costs less. The bounds are of all activities, so none of the kept ones is above.
        every = await self._from_totals(connection, owner, replace(which, tags=(), excluded_tags=()))
        others = await others_grouped(connection, owner, which)
        return Looked([*left_of(every.parts, others.parts)], every.bounds, every.days - others.days)

    async def _from_totals(self, connection: Connection, owner: int, which: StatisticsFilter) -> Looked:
        months = await _rows(
            connection, MONTHS, _totals_parameters(owner, which, which.since.replace(day=1), which.until)
        )
        bounds = [Bounds(_within(_month(row[0]), which), row[1:4]) for row in months]
        since, until = which.since.toordinal(), which.until.toordinal()
        counts = (one for row in months for one in _days(row[0], int(row[4])))
        days = Counter({day: count for day, count in counts if since <= day <= until})
        whole, ends = _split(which)
        parts: list[Part] = []
        for end in ends:
            parts += await self._of_end(connection, owner, replace(which, since=end.since, until=end.until))
        if whole is not None:
            parameters = _totals_parameters(owner, which, whole.since, whole.until)
            for row in await _rows(connection, KEPT, parameters):
                parts.append(part(bucket_start(row[0], which.period, which.week_start), row[1:]))
        return Looked(parts, bounds, days)

    async def _of_end(self, connection: Connection, owner: int, cut: StatisticsFilter) -> list[Part]:
        rows = await self._read(connection, owner, cut)
        if rows is not None:
            return statistics_rows.parts_of(rows, cut)
        return (await grouped(connection, owner, cut)).parts


def _split(which: StatisticsFilter) -> tuple[Days | None, list[Days]]:
    """The days of whole weeks or months, for which there are totals, and the days that are left at the ends."""
    whole = [*which.whole_buckets(which.since, which.until)]
    kept = [one for one in whole if which.since <= one.since and one.until <= which.until]
    ends = [_within(one, which) for one in (whole[:1] + whole[1:][-1:]) if one not in kept]
    return (Days(kept[0].since, kept[-1].until) if kept else None), ends


def _within(days: Days, which: StatisticsFilter) -> Days:
    return Days(max(days.since, which.since), min(days.until, which.until))


def _month(first: date) -> Days:
    return Days(first, (first + timedelta(days=31)).replace(day=1) - DAY)


def _days(first: date, counts: int) -> Iterable[tuple[int, int]]:
    """For each day that has a count in the digits of `counts`: its ordinal, and the count."""
    base = 10**DIGITS_OF_A_DAY
    day = first.toordinal()
    while counts:
        counts, count = divmod(counts, base)
        if count:
            yield day, count
        day += 1


def _totals_parameters(owner: int, which: StatisticsFilter, since: date, until: date) -> dict[str, Any]:
    return {
        "owner": owner,
        "span": "month" if which.period is Period.MONTHLY else "week",
        "since": since,
        "until": until,
        "any_type": not which.activity_types,
        "activity_types": [*which.activity_types],
    }


async def _rows(connection: Connection, query: LiteralString, parameters: dict[str, Any]) -> list[Row]:
    return await (await connection.execute(query, parameters)).fetchall()
