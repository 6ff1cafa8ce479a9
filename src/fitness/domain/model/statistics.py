"""Statistics: what activities add up to by day, week or month, their records and their streaks.

An activity belongs to its own local date. All sums are of whole numbers, so that the order of adding does not matter.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import NamedTuple

from fitness.domain.model.activities import EARLIEST, Activity, ActivityType
from fitness.domain.model.listings import ActivityFilter
from fitness.domain.model.periods import DAY, Period, bucket_start, following_start
from fitness.domain.model.refusals import FieldProblem, InvalidFields
from fitness.domain.model.users import WeekStart

FIRST_DAY = EARLIEST.date() - DAY
"""In some time zones the earliest activity is still of this day."""
LAST_DAY = date(2999, 12, 31)

UNCOUNTED_TYPES = frozenset({"transition"})
"""The types of activities that are in no statistic."""

THOUSANDTHS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsFilter:
    """Which activities are added up, and in which buckets. Both days are inclusive."""

    period: Period
    week_start: WeekStart
    since: date
    until: date
    activity_types: tuple[ActivityType, ...] = ()
    tags: tuple[str, ...] = ()
    excluded_tags: tuple[str, ...] = ()

    @property
    def activities(self) -> ActivityFilter:
        return ActivityFilter(
            activity_types=self.activity_types,
            since=self.since,
            until=self.until,
            tags=self.tags,
            excluded_tags=self.excluded_tags,
        )

    @property
    def buckets(self) -> list["Days"]:
        """In order; the first and the last may be cut off, since no day outside of the asked ones is in them."""
        return [
            Days(max(whole.since, self.since), min(whole.until, self.until))
            for whole in self.whole_buckets(self.since, self.until)
        ]

    def whole_buckets(self, since: date, until: date) -> Iterator["Days"]:
        """The whole buckets that these days are in."""
        first = bucket_start(since, self.period, self.week_start)
        while first <= until:
            following = following_start(first, self.period)
            yield Days(first, following - DAY)
            first = following


# Tuples, since they are what is cached: as JSON their fields have no names, and a copy takes a third of the room.


class Days(NamedTuple):
    """From a day to a day, both inclusive."""

    since: date
    until: date


class Sums(NamedTuple):
    """The sums of some activities. Durations are in thousandths of a minute, heartbeats in thousandths.

    `duration` is in motion, `elapsed` from start to end; an activity without an elapsed time counts with its duration.
    """

    activities: int = 0
    duration: int = 0
    elapsed: int = 0
    distance_m: int = 0
    climb_mm: int = 0
    calories_kcal: int = 0
    with_distance: int = 0
    duration_with_distance: int = 0
    with_heart_rate: int = 0
    duration_with_heart_rate: int = 0
    heartbeats: int = 0

    @property
    def average_speed_kmh(self) -> float | None:
        """All kilometres of the activities with a distance, divided by all their hours. None if there are none."""
        return self.distance_m * 60 / self.duration_with_distance if self.duration_with_distance else None

    @property
    def average_heart_rate_bpm(self) -> float | None:
        """The average of the activities with a heart rate, weighted by their durations. None if there are none."""
        return self.heartbeats / self.duration_with_heart_rate if self.duration_with_heart_rate else None


class Part(NamedTuple):
    """What the activities of one type add up to in the bucket that begins on `since`; at least one."""

    since: date
    activity_type: ActivityType
    sums: Sums


class Record(NamedTuple):
    """The activity with the highest value of all, the earliest of several; in thousandths of a minute, m or mm."""

    activity_id: int
    activity_type: ActivityType
    local_date: date
    value: int


class Records(NamedTuple):
    """The records of some activities; None where no activity has a value above 0."""

    longest: Record | None = None
    furthest: Record | None = None
    most_climb: Record | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a repository finds: the parts by bucket and type, and the days that have an activity, both in order."""

    parts: tuple[Part, ...]
    records: Records
    days: tuple[date, ...]


class Streak(NamedTuple):
    """Days in a row with an activity; no days at all have no first and no last."""

    days: int = 0
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    which: StatisticsFilter
    parts: tuple[Part, ...]
    records: Records
    current_streak: Streak
    """The streak that today is in, or that ended yesterday."""
    longest_streak: Streak
    """The longest streak; the latest of several equally long ones."""


def statistics_filter(
    *,
    period: Period,
    week_start: WeekStart,
    since: date | None,
    until: date | None,
    today: date,
    activity_types: Sequence[ActivityType] = (),
    tags: Sequence[str] = (),
    excluded_tags: Sequence[str] = (),
) -> StatisticsFilter:
    """A filter with the usual days where none are given. Raises InvalidFields for impossible days and for too many
    buckets.
    """
    last = today if until is None else until
    problems = [
        FieldProblem(field, f"must lie between {FIRST_DAY} and {LAST_DAY}")
        for field, day in (("from", since), ("to", until))
        if day is not None and not FIRST_DAY <= day <= LAST_DAY
    ]
    if problems:
        raise InvalidFields(*problems)
    first = _usual_first(last, period, week_start) if since is None else since
    if first > last:
        raise InvalidFields(FieldProblem("from", "must not be after `to`, which is today if it is not given"))
    which = StatisticsFilter(
        period=period,
        week_start=week_start,
        since=first,
        until=last,
        activity_types=tuple(sorted({*activity_types})),
        tags=tuple(sorted({*tags})),
        excluded_tags=tuple(sorted({*excluded_tags})),
    )
    if next(islice(which.whole_buckets(first, last), period.most, None), None) is not None:
        raise InvalidFields(FieldProblem("from", f"and `to` must span at most {period.most} {period.units}"))
    return which


def is_counted(activity: Activity) -> bool:
    return activity.activity_type not in UNCOUNTED_TYPES


def sums_of(activity: Activity) -> Sums:
    duration = thousandths(activity.duration_minutes)
    far, heart_rate = activity.distance_km is not None, activity.average_heart_rate_bpm
    return Sums(
        activities=1,
        duration=duration,
        elapsed=thousandths(activity.elapsed_minutes or activity.duration_minutes),
        distance_m=thousandths(activity.distance_km),
        climb_mm=thousandths(activity.elevation_gain_m),
        calories_kcal=activity.calories_kcal or 0,
        with_distance=int(far),
        duration_with_distance=duration if far else 0,
        with_heart_rate=int(heart_rate is not None),
        duration_with_heart_rate=0 if heart_rate is None else duration,
        heartbeats=duration * (heart_rate or 0),
    )


def thousandths(value: float | None) -> int:
    return round((value or 0.0) * THOUSANDTHS)


def added(sums: Iterable[Sums]) -> Sums:
    return Sums(*map(sum, zip(*sums, strict=True)))


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Parts of the same bucket and type added up to one part, in order."""
    found: dict[tuple[date, ActivityType], Sums] = {}
    for since, activity_type, sums in parts:
        name = since, activity_type
        found[name] = added((found[name], sums)) if name in found else sums
    return tuple(Part(*name, found[name]) for name in sorted(found))


def left_of(parts: Iterable[Part], taken: Iterable[Part]) -> tuple[Part, ...]:
    """What is left of `parts` without the activities of `taken`, which must all be among those of `parts`."""
    negative = (Part(one.since, one.activity_type, Sums._make(-value for value in one.sums)) for one in taken)
    return tuple(one for one in merged([*parts, *negative]) if one.sums.activities)


def statistics_of(found: Found, which: StatisticsFilter, *, today: date) -> Statistics:
    streaks = [*_streaks(found.days)]
    longest = max(streaks, key=lambda one: (one.days, one.since), default=Streak())
    current = next((one for one in streaks if _goes_on(one, today)), Streak())
    return Statistics(which, found.parts, found.records, current, longest)


def _goes_on(streak: Streak, today: date) -> bool:
    """Whether the streak is current. It may even end tomorrow: in some time zones that day has begun."""
    return streak.since is not None and streak.until is not None and streak.since <= today <= streak.until + DAY


def _streaks(days: Iterable[date]) -> Iterator[Streak]:
    """The streaks in `days`, which must be in order."""
    first = last = None
    for day in days:
        if first is None or last is None or day - last > DAY:
            if first is not None and last is not None:
                yield Streak((last - first).days + 1, first, last)
            first = day
        last = day
    if first is not None and last is not None:
        yield Streak((last - first).days + 1, first, last)


def _usual_first(last: date, period: Period, week_start: WeekStart) -> date:
    first = bucket_start(last, period, week_start)
    for _ in range(period.usual - 1):
        if first > FIRST_DAY:
            first = bucket_start(first - DAY, period, week_start)
    return max(first, FIRST_DAY)
