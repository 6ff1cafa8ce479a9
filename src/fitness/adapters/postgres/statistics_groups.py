"""Statistics of many activities, grouped by PostgreSQL from the index of the lists.

`activities_listed` holds all values that are added up. The cost of a statement is the work for each entry, so each
value is computed once (OFFSET 0 keeps PostgreSQL from computing it anew in each sum), and a month is looked up in a
string of bytes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, LiteralString, NamedTuple

from fitness.adapters.postgres.activity_listing import filter_parameters, narrowed, tagged
from fitness.adapters.postgres.database import Connection
from fitness.adapters.postgres.statistics_records import Bounds
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.listings import ActivityFilter
from fitness.domain.model.periods import Period, bucket_start
from fitness.domain.model.statistics import UNCOUNTED_TYPES, Part, StatisticsFilter, Sums

NUMBER: dict[Period, LiteralString] = {
    Period.DAILY: "local_date - %(first)s::date",
    Period.WEEKLY: "(local_date - %(first)s::date) / 7",
    Period.MONTHLY: "get_byte(%(numbers)s::bytea, local_date - %(first)s::date)",
}
"""The number of an activity's bucket, from 0."""

NO_BOUNDS = (0, 0, 0)

PLACES = 20
SEEN_AT_A_PLACE = 50
"""A sample: so many activities at each of PLACES instants in equal distances."""


class Looked(NamedTuple):
    """The result of one look at totals or activities."""

    parts: list[Part]
    bounds: list[Bounds]
    days: Counter[int]
    """How many activities each day has, by `date.toordinal`."""


async def grouped(connection: Connection, owner: int, which: StatisticsFilter) -> Looked:
    return await _grouped(connection, owner, which, narrowed(which.activities))


async def others_grouped(connection: Connection, owner: int, which: StatisticsFilter) -> Looked:
    """The groups of the activities that only the tags leave out."""
    others: LiteralString = f"NOT ({' AND '.join(tagged(which.activities))})"
    return await _grouped(connection, owner, which, [*narrowed(_of_any_tags(which)), others])


async def are_most(connection: Connection, owner: int, which: StatisticsFilter) -> bool:
    """Whether the tags leave out fewer activities than they keep, judged by a sample of up to a thousand."""
    query = f"""
        SELECT count(*) FILTER (WHERE {" AND ".join(tagged(which.activities))}) * 2 > count(*)
        FROM generate_series(0, {PLACES - 1}) AS place, LATERAL (
            SELECT id, search_tags
            FROM live_activities
            WHERE {" AND ".join(narrowed(_of_any_tags(which)))}
                AND activity_date >= %(started_since)s + (%(started_until)s - %(started_since)s) * place / {PLACES}
            ORDER BY activity_date, id
            LIMIT {SEEN_AT_A_PLACE}
        ) AS live_activities
    """
    row = await (await connection.execute(query, filter_parameters(owner, which.activities))).fetchone()
    return bool(row and row[0])


def _of_any_tags(which: StatisticsFilter) -> ActivityFilter:
    return replace(which.activities, tags=(), excluded_tags=())


async def _grouped(
    connection: Connection, owner: int, which: StatisticsFilter, conditions: Sequence[LiteralString]
) -> Looked:
    buckets = which.buckets
    # Transitions are few: leaving their groups out is cheaper than looking at each activity's type.
    rows = [row for row in await _groups(connection, owner, which, conditions) if row[1] not in UNCOUNTED_TYPES]
    days: Counter[int] = Counter()
    values: dict[int, tuple[int, ...]] = {}
    for row in rows:
        number = row[0]
        days.update(row[16])
        values[number] = tuple(map(max, values.get(number, NO_BOUNDS), row[13:16]))
    return Looked(
        parts=[part(buckets[row[0]].since, row[1:13]) for row in rows],
        bounds=[Bounds(buckets[number], some) for number, some in values.items()],
        days=days,
    )


def part(since: date, row: Sequence[Any]) -> Part:
    """`row` is an activity type and its sums."""
    return Part(since, ActivityType(row[0]), Sums._make(row[1:]))


async def _groups(
    connection: Connection, owner: int, which: StatisticsFilter, conditions: Sequence[LiteralString]
) -> list[tuple[Any, ...]]:
    query = f"""
        SELECT
            number, activity_type, count(*), sum(duration), sum(elapsed), coalesce(sum(distance), 0),
            coalesce(sum(climb), 0), coalesce(sum(calories_kcal), 0), count(distance),
            coalesce(sum(duration) FILTER (WHERE distance IS NOT NULL), 0), count(heart_rate),
            coalesce(sum(duration) FILTER (WHERE heart_rate IS NOT NULL), 0),
            coalesce(sum(duration::bigint * heart_rate), 0)::bigint,
            max(duration), coalesce(max(distance), 0), coalesce(max(climb), 0), array_agg(day)
        FROM (
            SELECT
                {NUMBER[which.period]} AS number, activity_type, calories_kcal, average_heart_rate_bpm AS heart_rate,
                local_date - date '0001-01-01' + 1 AS day, (duration_minutes * 1000)::integer AS duration,
                (coalesce(elapsed_minutes, duration_minutes) * 1000)::integer AS elapsed,
                (distance_km * 1000)::integer AS distance, (elevation_gain_m * 1000)::integer AS climb
            FROM live_activities
            WHERE {" AND ".join(conditions)}
            OFFSET 0
        ) AS found
        GROUP BY number, activity_type
    """
    parameters = filter_parameters(owner, which.activities) | {
        "first": bucket_start(which.since, which.period, which.week_start),
        "numbers": _numbers(which) if which.period is Period.MONTHLY else b"",
    }
    return await (await connection.execute(query, parameters)).fetchall()


def _numbers(which: StatisticsFilter) -> bytes:
    """For each day, the number of its bucket as a byte: there are fewer buckets than a byte has values."""
    whole = which.whole_buckets(which.since, which.until)
    return b"".join(bytes([number]) * ((days.until - days.since).days + 1) for number, days in enumerate(whole))
