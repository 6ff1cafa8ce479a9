"""Statistics in PostgreSQL: from totals that are kept by month and by part of a week, else from the index of the lists.

Without tags, whole weeks and months are read from activity_totals. Days, the cut-off ends of the range, and whatever is
asked for by tag are added up from `activities_listed`, which holds all that is added up.

The totals also say how long, far and high the activities of a month are at most. So a record is looked for in the month
with the highest bound, and in others only while their bounds are above what was found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, LiteralString, NamedTuple

from fitness.adapters.postgres.activity_listing import filter_parameters, narrowed
from fitness.adapters.postgres.database import Connection, Database, Row
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.periods import DAY, Period, bucket_start
from fitness.domain.model.statistics import Days, Found, Part, Record, Records, StatisticsFilter, Sums, merged

ONE_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

# PostgreSQL plans for whatever parameters come, takes the activities for a few, and would sort them to add them up.
BY_HASHES = "SET LOCAL enable_sort = off"

KEPT = """
    SELECT
        starts_on, activity_type, activities, duration, distance_m, climb_mm, calories_kcal, with_distance,
        duration_with_distance, with_heart_rate, duration_with_heart_rate, heartbeats
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

NUMBER: dict[Period, LiteralString] = {
    Period.DAILY: "local_date - %(first)s::date",
    Period.WEEKLY: "(local_date - %(first)s::date) / 7",
    Period.MONTHLY: "width_bucket(local_date, %(starts)s::date[]) - 1",
}
"""Of an activity's bucket, from 0."""

DAYS_TOLD_APART = 31
"""By the bits of a bucket: none is longer than that."""

BOUNDS_AND_DAYS: LiteralString = f"""
    max(duration), coalesce(max(distance), 0), coalesce(max(climb), 0), bit_or(1 << (day %% {DAYS_TOLD_APART}))
"""

COUNTED: LiteralString = "activity_type <> 'transition'"

MEASURES: dict[str, LiteralString] = {
    "longest": "(duration_minutes * 1000)::bigint",
    "furthest": "(distance_km * 1000)::bigint",
    "most_climb": "(elevation_gain_m * 1000)::bigint",
}
"""In the order of the bounds that the other statements find."""

MONTHS_AT_ONCE = 1
"""Searched for one record before their bounds are compared with what was found."""

REBUILD = "SELECT rebuild_activity_totals(%(first)s, %(last)s)"

LAST_OF_NEXT = """
    SELECT max(id)
    FROM (SELECT id FROM users WHERE id > %(after)s ORDER BY id LIMIT %(count)s) AS next
"""

REBUILT_AT_ONCE = 20
"""Accounts."""


NO_BOUNDS = (0, 0, 0)


class Bounds(NamedTuple):
    """None of the activities on these days is above one of the values, which are in the order of MEASURES."""

    days: Days
    values: tuple[int, ...]


class Looked(NamedTuple):
    """What one look at totals or activities found."""

    parts: list[Part]
    bounds: list[Bounds]
    days: list[date]


class PostgresStatisticsRepo:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, owner: int, which: StatisticsFilter) -> Found:
        async def work(connection: Connection) -> Found:
            await connection.execute(ONE_SNAPSHOT)
            await connection.execute(BY_HASHES)
            if which.tags or which.excluded_tags:
                looked = await _added_up(connection, owner, which)
            else:
                looked = await _from_totals(connection, owner, which)
            records = await _records(connection, owner, which, looked.bounds)
            return Found(merged(looked.parts), records, tuple(sorted({*looked.days})))

        return await self._database.transaction(work)

    async def rebuild(self, *, after: int = 0) -> int | None:
        row = await self._database.one(LAST_OF_NEXT, {"after": after, "count": REBUILT_AT_ONCE})
        last = row[0] if row else None
        if last is not None:
            await self._database.all(REBUILD, {"first": after + 1, "last": last})
        return last


async def _from_totals(connection: Connection, owner: int, which: StatisticsFilter) -> Looked:
    months = await _rows(connection, MONTHS, _totals_parameters(owner, which, which.since.replace(day=1), which.until))
    bounds = [Bounds(_within(_month(row[0]), which), row[1:4]) for row in months]
    days = [day for row in months for day in _days(row[0], int(row[4])) if which.since <= day <= which.until]
    whole, ends = _split(which)
    parts: list[Part] = []
    for end in ends:
        cut = replace(which, since=end.since, until=end.until)
        parts += (await _added_up(connection, owner, cut)).parts
    if whole is not None:
        parameters = _totals_parameters(owner, which, whole.since, whole.until)
        for row in await _rows(connection, KEPT, parameters):
            parts.append(_part(bucket_start(row[0], which.period, which.week_start), row[1:]))
    return Looked(parts, bounds, days)


async def _added_up(connection: Connection, owner: int, which: StatisticsFilter) -> Looked:
    """From the activities themselves; bounds and days only of those that are asked for by tag."""
    buckets = which.buckets
    by_tag = bool(which.tags or which.excluded_tags)
    query = f"""
        SELECT
            number, activity_type, count(*), sum(duration), coalesce(sum(distance), 0), coalesce(sum(climb), 0),
            coalesce(sum(calories_kcal), 0), count(distance),
            coalesce(sum(duration) FILTER (WHERE distance IS NOT NULL), 0), count(heart_rate),
            coalesce(sum(duration) FILTER (WHERE heart_rate IS NOT NULL), 0),
            coalesce(sum(duration::bigint * heart_rate), 0)::bigint, {BOUNDS_AND_DAYS if by_tag else "0, 0, 0, 0"}
        FROM (
            SELECT
                {NUMBER[which.period]} AS number, activity_type, calories_kcal, average_heart_rate_bpm AS heart_rate,
                local_date - date '0001-01-01' AS day, (duration_minutes * 1000)::integer AS duration,
                (distance_km * 1000)::integer AS distance, (elevation_gain_m * 1000)::integer AS climb
            FROM live_activities
            WHERE {" AND ".join([*narrowed(which.activities), COUNTED])}
        ) AS found
        GROUP BY number, activity_type
    """
    parameters = filter_parameters(owner, which.activities) | {
        "first": bucket_start(which.since, which.period, which.week_start),
        "starts": [one.since for one in buckets],
    }
    rows = await _rows(connection, query, parameters)
    bits: dict[int, int] = {}
    values: dict[int, tuple[int, ...]] = {}
    for row in rows:
        number = row[0]
        bits[number] = bits.get(number, 0) | row[15]
        values[number] = tuple(map(max, values.get(number, NO_BOUNDS), row[12:15]))
    return Looked(
        parts=[_part(buckets[row[0]].since, row[1:12]) for row in rows],
        bounds=[Bounds(buckets[number], some) for number, some in values.items()],
        days=[day for number, some in bits.items() for day in _days_of_bits(buckets[number].since, some)],
    )


async def _records(connection: Connection, owner: int, which: StatisticsFilter, bounds: Sequence[Bounds]) -> Records:
    best: dict[str, tuple[Record, Any]] = {}
    # Highest first, then earliest: of equal values the earliest is the record.
    left = {
        name: sorted((one for one in bounds if one.values[place]), key=lambda one: (-one.values[place], one.days))
        for place, name in enumerate(MEASURES)
    }
    while any(left.values()):  # ends: each round takes some away
        asked = [(name, one.days) for name, some in left.items() for one in some[:MONTHS_AT_ONCE]]
        for name, record, started in await _highest(connection, owner, which, asked):
            if name not in best or (-record.value, started) < (-best[name][0].value, best[name][1]):
                best[name] = record, started
        for place, name in enumerate(MEASURES):
            left[name] = [one for one in left[name][MONTHS_AT_ONCE:] if _may_hold(one, place, best.get(name))]
    return Records(**{name: record for name, (record, _) in best.items()})


def _may_hold(bounds: Bounds, place: int, best: tuple[Record, Any] | None) -> bool:
    """Whether a better record than the `best` one may be on those days."""
    if best is None or bounds.values[place] > best[0].value:
        return True
    return bounds.values[place] == best[0].value and bounds.days.since < best[0].local_date


async def _highest(
    connection: Connection, owner: int, which: StatisticsFilter, asked: Sequence[tuple[str, Days]]
) -> list[tuple[str, Record, Any]]:
    """The record of each measure on the days that go with it, and the time at which it started."""
    value: LiteralString = " ".join(f"WHEN '{name}' THEN {sql}" for name, sql in MEASURES.items())
    query = f"""
        SELECT measure, found.*
        FROM unnest(%(measures)s::text[], %(firsts)s::date[], %(lasts)s::date[]) AS asked (measure, first, last),
            LATERAL (
                SELECT id, activity_type, local_date, CASE measure {value} END AS value, activity_date
                FROM live_activities
                WHERE {" AND ".join([*narrowed(which.activities), COUNTED])}
                    AND local_date BETWEEN first AND last
                    AND activity_date >= first::timestamptz - interval '1 day'
                    AND activity_date < last::timestamptz + interval '2 days'
                ORDER BY value DESC NULLS LAST, activity_date, id
                LIMIT 1
            ) AS found
        WHERE value > 0
    """
    parameters = filter_parameters(owner, which.activities) | {
        "measures": [name for name, _ in asked],
        "firsts": [days.since for _, days in asked],
        "lasts": [days.until for _, days in asked],
    }
    return [
        (name, Record(number, ActivityType(kind), day, value), started)
        for name, number, kind, day, value, started in await _rows(connection, query, parameters)
    ]


def _split(which: StatisticsFilter) -> tuple[Days | None, list[Days]]:
    """The days of whole buckets, for which there are totals, and what is left at the ends."""
    if which.period is Period.DAILY:
        return None, [Days(which.since, which.until)]
    whole = [*which.whole_buckets(which.since, which.until)]
    kept = [one for one in whole if which.since <= one.since and one.until <= which.until]
    ends = [_within(one, which) for one in (whole[:1] + whole[1:][-1:]) if one not in kept]
    return (Days(kept[0].since, kept[-1].until) if kept else None), ends


def _within(days: Days, which: StatisticsFilter) -> Days:
    return Days(max(days.since, which.since), min(days.until, which.until))


def _month(first: date) -> Days:
    return Days(first, (first + timedelta(days=31)).replace(day=1) - DAY)


def _days(first: date, counts: int) -> Iterable[date]:
    """The days that have a count in the digits of `counts`."""
    base = 10**DIGITS_OF_A_DAY
    day = first.toordinal()
    while counts:
        counts, count = divmod(counts, base)
        if count:
            yield date.fromordinal(day)
        day += 1


def _days_of_bits(since: date, bits: int) -> Iterable[date]:
    """The days of the bucket that begins then: each has the bit of its number modulo DAYS_TOLD_APART."""
    first = since.toordinal()
    for day in range(first, first + DAYS_TOLD_APART):
        if bits >> (day - 1) % DAYS_TOLD_APART & 1:
            yield date.fromordinal(day)


def _totals_parameters(owner: int, which: StatisticsFilter, since: date, until: date) -> dict[str, Any]:
    return {
        "owner": owner,
        "span": "month" if which.period is Period.MONTHLY else "week",
        "since": since,
        "until": until,
        "any_type": not which.activity_types,
        "activity_types": [*which.activity_types],
    }


def _part(since: date, row: Sequence[Any]) -> Part:
    """Of a type and its sums."""
    return Part(since, ActivityType(row[0]), Sums._make(row[1:]))


async def _rows(connection: Connection, query: LiteralString, parameters: dict[str, Any]) -> list[Row]:
    return await (await connection.execute(query, parameters)).fetchall()
