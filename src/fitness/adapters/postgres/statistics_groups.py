"""Statistics of many activities, grouped by PostgreSQL from the index of the lists.

`activities_listed` holds all that is added up. What is done for each of its entries is what a statement here costs, so
each value is computed once (OFFSET 0 keeps PostgreSQL from computing it anew in each sum), and a month is looked up in
a string of bytes.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, LiteralString, NamedTuple

from fitness.adapters.postgres.activity_listing import filter_parameters, narrowed
from fitness.adapters.postgres.database import Connection
from fitness.adapters.postgres.statistics_records import Bounds
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.periods import Period, bucket_start
from fitness.domain.model.statistics import UNCOUNTED_TYPES, Part, StatisticsFilter, Sums

NUMBER: dict[Period, LiteralString] = {
    Period.DAILY: "local_date - %(first)s::date",
    Period.WEEKLY: "(local_date - %(first)s::date) / 7",
    Period.MONTHLY: "get_byte(%(numbers)s::bytea, local_date - %(first)s::date)",
}
"""Of an activity's bucket, from 0."""

DAYS_TOLD_APART = 31
"""By the bits of a bucket: none is longer than that."""

NO_BOUNDS = (0, 0, 0)


class Looked(NamedTuple):
    """What one look at totals or activities found."""

    parts: list[Part]
    bounds: list[Bounds]
    days: list[date]


async def grouped(connection: Connection, owner: int, which: StatisticsFilter) -> Looked:
    buckets = which.buckets
    # Transitions are few: leaving their groups out is cheaper than looking at each activity's type.
    rows = [row for row in await _groups(connection, owner, which) if row[1] not in UNCOUNTED_TYPES]
    bits: dict[int, int] = {}
    values: dict[int, tuple[int, ...]] = {}
    for row in rows:
        number = row[0]
        bits[number] = bits.get(number, 0) | row[15]
        values[number] = tuple(map(max, values.get(number, NO_BOUNDS), row[12:15]))
    return Looked(
        parts=[part(buckets[row[0]].since, row[1:12]) for row in rows],
        bounds=[Bounds(buckets[number], some) for number, some in values.items()],
        days=[day for number, some in bits.items() for day in _days_of_bits(buckets[number].since, some)],
    )


def part(since: date, row: Sequence[Any]) -> Part:
    """Of a type and its sums."""
    return Part(since, ActivityType(row[0]), Sums._make(row[1:]))


async def _groups(connection: Connection, owner: int, which: StatisticsFilter) -> list[tuple[Any, ...]]:
    query = f"""
        SELECT
            number, activity_type, count(*), sum(duration), coalesce(sum(distance), 0), coalesce(sum(climb), 0),
            coalesce(sum(calories_kcal), 0), count(distance),
            coalesce(sum(duration) FILTER (WHERE distance IS NOT NULL), 0), count(heart_rate),
            coalesce(sum(duration) FILTER (WHERE heart_rate IS NOT NULL), 0),
            coalesce(sum(duration::bigint * heart_rate), 0)::bigint,
            max(duration), coalesce(max(distance), 0), coalesce(max(climb), 0), bit_or(day)
        FROM (
            SELECT
                {NUMBER[which.period]} AS number, activity_type, calories_kcal, average_heart_rate_bpm AS heart_rate,
                1 << (local_date - date '0001-01-01') %% {DAYS_TOLD_APART} AS day,
                (duration_minutes * 1000)::integer AS duration, (distance_km * 1000)::integer AS distance,
                (elevation_gain_m * 1000)::integer AS climb
            FROM live_activities
            WHERE {" AND ".join(narrowed(which.activities))}
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
    """Of each day's bucket, a byte: there are fewer buckets than bytes have values."""
    whole = which.whole_buckets(which.since, which.until)
    return b"".join(bytes([number]) * ((days.until - days.since).days + 1) for number, days in enumerate(whole))


def _days_of_bits(since: date, bits: int) -> Iterable[date]:
    """The days of the bucket that begins then: each has the bit of its number modulo DAYS_TOLD_APART."""
    first = since.toordinal()
    for day in range(first, first + DAYS_TOLD_APART):
        if bits >> (day - 1) % DAYS_TOLD_APART & 1:
            yield date.fromordinal(day)
