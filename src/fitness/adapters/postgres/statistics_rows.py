"""Statistics of a few activities, read one by one from the index of the lists and added up here.

For PostgreSQL this is a third of the work of grouping them, and for this process no more than reading the groups: by
days there are hardly fewer groups than activities. Records and days are found in the same rows.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, LiteralString, cast

from fitness.adapters.postgres.activity_listing import filter_parameters, narrowed
from fitness.adapters.postgres.database import Connection
from fitness.adapters.postgres.statistics_records import COUNTED
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.periods import bucket_start
from fitness.domain.model.statistics import Found, Part, Record, Records, StatisticsFilter, Sums

Row = tuple[int, str, int, int, int | None, int | None, int | None, int | None, int]
"""An activity: `date.toordinal` of its day, its type, its duration and elapsed time in thousandths of a minute, m, mm,
kcal, bpm and its id. A plain tuple, since there are thousands."""

COLUMNS: LiteralString = """
    local_date - date '0001-01-01' + 1, activity_type, (duration_minutes * 1000)::integer,
    (coalesce(elapsed_minutes, duration_minutes) * 1000)::integer, (distance_km * 1000)::integer,
    (elevation_gain_m * 1000)::integer, calories_kcal, average_heart_rate_bpm, id
"""
DURATION, DISTANCE, CLIMB = 2, 4, 5


async def read(connection: Connection, owner: int, which: StatisticsFilter, *, most: int) -> list[Row] | None:
    """The activities that `which` asks for, newest first; None where there are more than `most`."""
    query = f"""
        SELECT {COLUMNS}
        FROM live_activities
        WHERE {" AND ".join([*narrowed(which.activities), COUNTED])}
        ORDER BY activity_date DESC, id DESC
        LIMIT %(limit)s
    """
    parameters = filter_parameters(owner, which.activities) | {"limit": most + 1}
    rows: list[Any] = await (await connection.execute(query, parameters)).fetchall()
    return rows if len(rows) <= most else None


def found_by_day(rows: Sequence[Row], which: StatisticsFilter) -> Found:
    """Only for statistics by day: in these no two parts are of one bucket and type."""
    records = Records(_record(rows, DURATION), _record(rows, DISTANCE), _record(rows, CLIMB))
    days = tuple(date.fromordinal(day) for day in sorted({row[0] for row in rows}))
    return Found(tuple(sorted(parts_of(rows, which))), records, days)


def parts_of(rows: Sequence[Row], which: StatisticsFilter) -> list[Part]:
    """The parts by day and type, in no order; several may be of one bucket."""
    added: dict[tuple[int, str], list[int]] = {}
    for day, activity_type, duration, elapsed, distance, climb, calories, heart_rate, _ in rows:
        sums = added.get((day, activity_type))
        if sums is None:
            sums = added[day, activity_type] = [0] * len(Sums._fields)
        sums[0] += 1
        sums[1] += duration
        sums[2] += elapsed
        sums[4] += climb or 0
        sums[5] += calories or 0
        if distance is not None:
            sums[3] += distance
            sums[6] += 1
            sums[7] += duration
        if heart_rate is not None:
            sums[8] += 1
            sums[9] += duration
            sums[10] += duration * heart_rate
    return [
        Part(_bucket(date.fromordinal(day), which), ActivityType(activity_type), Sums._make(sums))
        for (day, activity_type), sums in added.items()
    ]


def _bucket(day: date, which: StatisticsFilter) -> date:
    return max(which.since, bucket_start(day, which.period, which.week_start))


def _record(rows: Sequence[Row], place: int) -> Record | None:
    """The highest value; of equal values the earliest, which comes last in `rows`. None without a value above 0."""
    best: tuple[Any, ...] = max(reversed(rows), key=lambda row: cast(int, row[place] or 0), default=())
    if not best or not best[place]:
        return None
    return Record(best[-1], ActivityType(best[1]), date.fromordinal(best[0]), best[place])
