"""The records of statistics, searched only on days whose bounds allow a record.

Totals and groups give bounds for the duration, distance and climb of their activities. So a record is searched first on
the days with the highest bound, and on other days only while their bounds are above what was found.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, LiteralString, NamedTuple

from fitness.adapters.postgres.activity_listing import filter_parameters, narrowed
from fitness.adapters.postgres.database import Connection
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.statistics import Days, Record, Records, StatisticsFilter

COUNTED: LiteralString = "activity_type <> 'transition'"

MEASURES: dict[str, LiteralString] = {
    "longest": "(duration_minutes * 1000)::bigint",
    "furthest": "(distance_km * 1000)::bigint",
    "most_climb": "(elevation_gain_m * 1000)::bigint",
}
"""In the order of the bounds that the other statements find."""

SEARCHED_FIRST = 1
"""The number of months, or other days with bounds, searched for a record before the remaining bounds are compared with
what was found. Each further round searches twice as many: bounds of all activities say little if tags leave out the
highest of each month."""


ONE_INSTANT = timedelta(days=2)
"""The earlier of two activities may have a local date that is so much later: zones lie from 12 h west to 14 h east."""


class Bounds(NamedTuple):
    """Upper bounds of the activities on these days, in the order of MEASURES."""

    days: Days
    values: tuple[int, ...]


async def records(connection: Connection, owner: int, which: StatisticsFilter, bounds: Sequence[Bounds]) -> Records:
    best: dict[str, tuple[Record, Any]] = {}
    # Highest first, then earliest: of equal values the earliest is the record.
    left = {
        name: sorted((one for one in bounds if one.values[place]), key=lambda one: (-one.values[place], one.days))
        for place, name in enumerate(MEASURES)
    }
    searched = SEARCHED_FIRST
    while any(left.values()):  # ends: each round removes some
        asked = [(name, one.days) for name, some in left.items() for one in some[:searched]]
        for name, record, started in await _highest(connection, owner, which, asked):
            if name not in best or (-record.value, started) < (-best[name][0].value, best[name][1]):
                best[name] = record, started
        for place, name in enumerate(MEASURES):
            left[name] = [one for one in left[name][searched:] if _may_hold(one, place, best.get(name))]
        searched *= 2
    return Records(**{name: record for name, (record, _) in best.items()})


def _may_hold(bounds: Bounds, place: int, best: tuple[Record, Any] | None) -> bool:
    """Whether a better record than the `best` one may be on those days."""
    if best is None or bounds.values[place] > best[0].value:
        return True
    return bounds.values[place] == best[0].value and bounds.days.since <= best[0].local_date + ONE_INSTANT


async def _highest(
    connection: Connection, owner: int, which: StatisticsFilter, asked: Sequence[tuple[str, Days]]
) -> list[tuple[str, Record, Any]]:
    """For each measure and its days in `asked`: the measure, its record on those days, and when that started."""
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
        for name, number, kind, day, value, started in await (await connection.execute(query, parameters)).fetchall()
    ]
