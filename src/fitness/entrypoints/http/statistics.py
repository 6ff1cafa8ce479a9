"""/users/me/stats: what the caller's activities add up to."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Annotated, Any

from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from msgspec import Meta

from fitness.domain.model.activities import ActivityType
from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.periods import Period, bucket_name
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.statistics import THOUSANDTHS, Part, Record, Statistics, Streak, Sums, added
from fitness.domain.model.users import Caller, WeekStart
from fitness.domain.use_cases.statistics import StatisticsService
from fitness.entrypoints.http.filters import tags_of
from fitness.entrypoints.http.queries import ParameterErrors, read_query
from fitness.entrypoints.http.routes import Access, Route


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsQuery:
    """Which of the caller's activities to add up, and by what."""

    period: Annotated[
        Period,
        Meta(
            description="What a bucket is. At most 400 days, 160 weeks or 120 months are answered.", examples=["weekly"]
        ),
    ] = Period.WEEKLY
    from_: (
        Annotated[
            date,
            Meta(
                description="The first local day; 30 days, 12 weeks or 12 months up to `to` if not given.",
                examples=["2026-01-01"],
            ),
        ]
        | None
    ) = None
    to: (
        Annotated[
            date,
            Meta(
                description="The last local day; if not given today, by the clocks of the profile's `timezone`.",
                examples=["2026-12-31"],
            ),
        ]
        | None
    ) = None
    type: Annotated[
        tuple[ActivityType, ...], Meta(description="Of this type; repeat it for any of several.", examples=[["run"]])
    ] = ()
    tag: Annotated[
        tuple[str, ...], Meta(description="Has this tag; repeat it to ask for several at once.", examples=[["race"]])
    ] = ()
    exclude_tag: Annotated[tuple[str, ...], Meta(description="Lacks this tag; repeatable.")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsBody:
    """What some activities add up to. Unknown values add nothing, and are in no average."""

    activities: int
    """How many there are."""
    duration_minutes: float
    """In motion."""
    elapsed_minutes: float
    """From start to end; of an activity without `elapsed_minutes`, its time in motion."""
    distance_km: float
    """Of those with a distance."""
    elevation_gain_m: float
    """Of those with a climb."""
    calories_kcal: int
    """Of those with an energy."""
    average_speed_kmh: float | None
    """All kilometres in all hours of the activities with a distance; null where there are none."""
    average_speed_of: int
    """How many activities have a distance."""
    average_heart_rate_bpm: float | None
    """Weighted by duration; null where no activity has a heart rate."""
    average_heart_rate_of: int
    """How many activities have a heart rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketBody:
    name: str
    """A date, a week of ISO 8601 such as `2026-W53`, or a month such as `2026-11`; of weeks from Sunday the Sunday."""
    first_day: date
    """The first and the last bucket end where the asked days do."""
    last_day: date
    """Inclusive."""
    total: TotalsBody
    by_type: dict[str, TotalsBody]
    """Of the types that there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBody:
    activity_id: int
    activity_type: ActivityType
    local_date: date
    """Of its start, where it was."""
    value: float
    """In the unit of the record: `duration_minutes`, `distance_km` or `elevation_gain_m`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsBody:
    """Null where no activity has such a value above 0; of equal ones the earliest."""

    duration_minutes: RecordBody | None
    """The longest."""
    distance_km: RecordBody | None
    """The furthest."""
    elevation_gain_m: RecordBody | None
    """The one that climbed most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreakBody:
    """Days in a row with an activity, among the asked ones."""

    days: int
    """How many."""
    first_day: date | None
    """Null where there are none."""
    last_day: date | None
    """Null where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreaksBody:
    current: StreakBody
    """The one that today is in, or that ended yesterday; 0 days where there is none."""
    longest: StreakBody
    """The latest of several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsBody:
    period: Period
    first_day: date
    """Of all that is answered."""
    last_day: date
    """Inclusive."""
    week_start: WeekStart
    """Of the profile; weeks begin on this day."""
    buckets: tuple[BucketBody, ...]
    """Every one of them in order, empty ones too."""
    total: TotalsBody
    by_type: dict[str, TotalsBody]
    """Of the types that there are."""
    records: RecordsBody
    streaks: StreaksBody


@get(
    "/stats",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.LIST,
        query=StatisticsQuery,
        sends=("X-Cache",),
    ).opt,
)
async def get_statistics(
    request: Request[Caller, Any, Any], statistics: NamedDependency[StatisticsService]
) -> Response[StatisticsBody]:
    """What the caller's activities add up to by day, week or month, their records and their streaks.

    An activity belongs to the local day of its own start. What is in the trash does not count.
    """
    query = read_query(request, StatisticsQuery)
    errors = ParameterErrors()
    tags = errors.parsed("tag", query.tag, tags_of)
    excluded_tags = errors.parsed("exclude_tag", query.exclude_tag, tags_of)
    errors.refuse()
    found = await statistics.find(
        period=query.period,
        since=query.from_,
        until=query.to,
        activity_types=query.type,
        tags=tags or (),
        excluded_tags=excluded_tags or (),
        by=request.user,
    )
    return Response(_body(found.value), headers={"X-Cache": found.origin})


statistics_router = Router("/users/me", tags=["statistics"], route_handlers=[get_statistics])


def _body(found: Statistics) -> StatisticsBody:
    which = found.which
    parts = {since: [*some] for since, some in groupby(found.parts, key=lambda part: part.since)}
    return StatisticsBody(
        period=which.period,
        first_day=which.since,
        last_day=which.until,
        week_start=which.week_start,
        buckets=tuple(
            BucketBody(
                name=bucket_name(days.since, which.period, which.week_start),
                first_day=days.since,
                last_day=days.until,
                total=_total(parts.get(days.since, ())),
                by_type=_by_type(parts.get(days.since, ())),
            )
            for days in which.buckets
        ),
        total=_total(found.parts),
        by_type=_by_type(found.parts),
        records=RecordsBody(
            duration_minutes=_record(found.records.longest),
            distance_km=_record(found.records.furthest),
            elevation_gain_m=_record(found.records.most_climb),
        ),
        streaks=StreaksBody(current=_streak(found.current_streak), longest=_streak(found.longest_streak)),
    )


def _total(parts: Iterable[Part]) -> TotalsBody:
    return _totals(added(part.sums for part in parts))


def _by_type(parts: Iterable[Part]) -> dict[str, TotalsBody]:
    found: dict[str, list[Sums]] = {}
    for part in parts:
        found.setdefault(part.activity_type.value, []).append(part.sums)
    return {kind: _totals(added(found[kind])) for kind in sorted(found)}


def _totals(sums: Sums) -> TotalsBody:
    return TotalsBody(
        activities=sums.activities,
        duration_minutes=sums.duration / THOUSANDTHS,
        elapsed_minutes=sums.elapsed / THOUSANDTHS,
        distance_km=sums.distance_m / THOUSANDTHS,
        elevation_gain_m=sums.climb_mm / THOUSANDTHS,
        calories_kcal=sums.calories_kcal,
        average_speed_kmh=_rounded(sums.average_speed_kmh),
        average_speed_of=sums.with_distance,
        average_heart_rate_bpm=_rounded(sums.average_heart_rate_bpm),
        average_heart_rate_of=sums.with_heart_rate,
    )


def _rounded(average: float | None) -> float | None:
    return None if average is None else round(average, 3)


def _record(record: Record | None) -> RecordBody | None:
    if record is None:
        return None
    return RecordBody(
        activity_id=record.activity_id,
        activity_type=record.activity_type,
        local_date=record.local_date,
        value=record.value / THOUSANDTHS,
    )


def _streak(streak: Streak) -> StreakBody:
    return StreakBody(days=streak.days, first_day=streak.since, last_day=streak.until)
