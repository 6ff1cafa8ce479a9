"""Statistics added up anew each time."""

from collections.abc import Callable, Iterable
from datetime import date

from fitness.adapters.memory.activities import matches
from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.activities import Activity
from fitness.domain.model.periods import bucket_start
from fitness.domain.model.statistics import (
    Found,
    Part,
    Record,
    Records,
    StatisticsFilter,
    is_counted,
    merged,
    sums_of,
    thousandths,
)


class InMemoryStatisticsRepo:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def find(self, owner: int, which: StatisticsFilter) -> Found:
        counted = [one for one in self._store.activities.values() if _counts(one, owner, which)]
        return Found(
            parts=merged(Part(_bucket(one.local_date, which), one.activity_type, sums_of(one)) for one in counted),
            records=Records(
                longest=_record(counted, lambda one: one.duration_minutes),
                furthest=_record(counted, lambda one: one.distance_km),
                most_climb=_record(counted, lambda one: one.elevation_gain_m),
            ),
            days=tuple(sorted({one.local_date for one in counted})),
        )

    async def rebuild(self, *, after: int = 0) -> int | None:
        return None  # nothing is kept


def _counts(activity: Activity, owner: int, which: StatisticsFilter) -> bool:
    return (
        activity.user_id == owner
        and activity.deleted_at is None
        and is_counted(activity)
        and matches(activity, which.activities)
    )


def _bucket(day: date, which: StatisticsFilter) -> date:
    return max(which.since, bucket_start(day, which.period, which.week_start))


def _record(activities: Iterable[Activity], value: Callable[[Activity], float | None]) -> Record | None:
    best = min(activities, key=lambda one: (-thousandths(value(one)), one.activity_date, one.id), default=None)
    if best is None or not value(best):
        return None
    return Record(best.id, best.activity_type, best.local_date, thousandths(value(best)))
