"""Whatever is written and whatever is asked for, statistics are what plain Python makes of the live activities."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.postgres.statistics import PostgresStatisticsRepo
from fitness.adapters.postgres.totals_diagnosis import TotalsDiagnosis
from fitness.domain.model.activities import Activity, ActivityType, DetailsChanges
from fitness.domain.model.periods import Period
from fitness.domain.model.statistics import Statistics, statistics_of
from fitness.domain.model.users import Caller, WeekStart
from fitness.domain.use_cases.caching.keys import user_scope
from fitness.domain.use_cases.caching.reads import Origin
from fitness.entrypoints.wiring.container import Container
from fitness.ports.health import Verdict
from tests.builders import a_new_activity, an_activity
from tests.harness.api import Api

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
TYPES = ["run", "run", "run", "ride", "ride", "swim", "yoga", "transition"]
ZONES = ["UTC", "Europe/Paris", "Pacific/Kiritimati", "America/New_York", "Australia/Brisbane", "Asia/Kathmandu"]
TAGS = ["race", "hills", "commute", "été"]
ACTIVITIES = 5_000
ROUNDS = 20


def drawn(draw: random.Random) -> dict[str, Any]:
    """Some values known and some not, close enough together that many share a day, a week or a record."""
    average = draw.choice([None, draw.randint(90, 170)])
    return {
        "activity_type": ActivityType(draw.choice(TYPES)),
        "activity_date": NOW
        - timedelta(minutes=draw.choice([draw.randrange(60 * 24 * 60), draw.randrange(4_000_000)])),
        "timezone": draw.choice(ZONES),
        "duration_minutes": draw.choice([30.0, draw.randrange(1, 200_000) / 1_000]),
        "elapsed_minutes": draw.choice([None, 200.0, draw.randrange(200_000, 500_000) / 1_000]),
        "distance_km": draw.choice([None, 0.0, 10.0, draw.randrange(50_000) / 1_000]),
        "elevation_gain_m": draw.choice([None, 0.0, draw.randrange(900_000) / 1_000]),
        "calories_kcal": draw.choice([None, draw.randrange(2_000)]),
        "average_heart_rate_bpm": average,
        "tags": tuple(draw.sample(TAGS, draw.randrange(3))),
    }


class Writer:
    """Changes a person's activities in every way there is, and keeps in mind what should be there."""

    def __init__(self, container: Container, by: Caller, draw: random.Random) -> None:
        self._service = container.activities()
        self._administration = container.administration()
        self._changes = container.changes()
        self._repo = container.activity_repo()
        self._tags = container.tags()
        self._by = by
        self._draw = draw
        self.live: dict[int, Activity] = {}
        self.trashed: dict[int, Activity] = {}

    async def write(self, count: int) -> None:
        """Until there are so many new activities: changes, several at a time, no two of them of one activity. Then one
        of all that have a tag.
        """
        kinds = [self._create] * 5 + [self._create_many, self._update, self._update, self._trash, self._restore]
        kinds.append(self._purge)
        left = count
        while left > 0:
            some = [self._draw.choice(kinds) for _ in range(8)]
            left -= sum(await asyncio.gather(*(kind() for kind in some)))
        await self._retag()

    async def _retag(self) -> None:
        """Rename a tag, merge it into another one, or take it off."""
        tag, instead = self._draw.choice(TAGS), self._draw.choice([None, "contest", *TAGS])
        if instead is None:
            await self._tags.delete(tag, by=self._by)
        else:
            await self._tags.rename(tag, instead, by=self._by)
        for some in (self.live, self.trashed):
            for one in [one for one in some.values() if tag in one.tags]:
                renamed = [instead if name == tag else name for name in one.tags]
                some[one.id] = replace(one, tags=tuple(dict.fromkeys(name for name in renamed if name)))

    async def _create(self) -> int:
        created = await self._service.create(a_new_activity(**drawn(self._draw)), by=self._by)
        self.live[created.activity.id] = created.activity
        return 1

    async def _create_many(self) -> int:
        new = [an_activity(user_id=self._by.id, at=NOW, **drawn(self._draw)) for _ in range(self._draw.randint(1, 20))]
        added = await self._changes.make([user_scope(self._by.id)], partial(self._repo.add_all, new))
        self.live |= {one.id: one for one in added}
        return len(added)

    async def _update(self) -> int:
        if not self.live:
            return 0
        one = self._taken(self.live)
        values = drawn(self._draw) | {"title": str(self._draw.random())}
        names = self._draw.sample([*values], self._draw.randint(1, 4))
        changes: DetailsChanges = {name: values[name] for name in names}  # type: ignore[assignment]
        self.live[one.id] = await self._service.update(one.id, changes, by=self._by)
        return 0

    async def _trash(self) -> int:
        if not self.live:
            return 0
        one = self._taken(self.live)
        await self._service.delete(one.id, by=self._by)
        self.trashed[one.id] = one
        return 0

    async def _restore(self) -> int:
        if not self.trashed:
            return 0
        one = self._taken(self.trashed)
        self.live[one.id] = await self._service.restore(one.id, by=self._by)
        return 0

    async def _purge(self) -> int:
        if not self.trashed:
            return 0
        await self._administration.purge(self._taken(self.trashed).id, reason="asked for", by=self._by)
        return 0

    def _taken(self, some: dict[int, Activity]) -> Activity:
        return some.pop(self._draw.choice([*some]))


def asked(draw: random.Random) -> dict[str, Any]:
    """A period with days that may cut off buckets at both ends, and filters."""
    period = draw.choice([*Period])
    longest = {Period.DAILY: 399, Period.WEEKLY: 159 * 7 - 6, Period.MONTHLY: 119 * 28}[period]
    until = NOW.date() + timedelta(days=1) - timedelta(days=draw.randrange(draw.choice([3, 1_500])))
    return {
        "period": period,
        "since": until - timedelta(days=draw.randrange(draw.choice([40, longest]))),
        "until": until,
        "activity_types": draw.choice([(), (), (ActivityType.RUN,), (ActivityType.SWIM, ActivityType.YOGA)]),
        "tags": draw.choice([(), (), ("race",), ("race", "hills")]),
        "excluded_tags": draw.choice([(), (), (), ("été",), ("commute", "hills")]),
    }


def first_day(day: date, period: Period, week_start: WeekStart) -> date:
    while not (
        period is Period.DAILY
        or (period is Period.MONTHLY and day.day == 1)
        or (period is Period.WEEKLY and f"{day:%A}".lower() == week_start)
    ):
        day -= timedelta(days=1)
    return day


def total(activities: Iterable[Activity]) -> tuple[Any, ...]:
    """In exact numbers; averages as they are told."""
    kept = [*activities]

    def exact(values: Iterable[float | None]) -> Fraction:
        return Fraction(sum((Decimal(str(value)) for value in values if value is not None), Decimal(0)))

    far = [one for one in kept if one.distance_km is not None]
    felt = [one for one in kept if one.average_heart_rate_bpm is not None]
    minutes, felt_minutes = exact(one.duration_minutes for one in far), exact(one.duration_minutes for one in felt)
    beats = Fraction(sum(Decimal(str(one.duration_minutes)) * (one.average_heart_rate_bpm or 0) for one in felt))
    return (
        len(kept),
        exact(one.duration_minutes for one in kept),
        exact(one.elapsed_minutes or one.duration_minutes for one in kept),
        exact(one.distance_km for one in kept),
        exact(one.elevation_gain_m for one in kept),
        exact(one.calories_kcal for one in kept),
        float(exact(one.distance_km for one in far) / minutes * 60) if far else None,
        len(far),
        float(beats / felt_minutes) if felt else None,
        len(felt),
    )


def record(activities: list[Activity], value: Callable[[Activity], float | None]) -> int | None:
    best = sorted(
        (one for one in activities if value(one)), key=lambda one: (-(value(one) or 0), one.activity_date, one.id)
    )
    return best[0].id if best else None


def streaks(days: set[date], today: date) -> tuple[int, int]:
    """The current one's length and the longest one's."""

    def row(day: date, step: int) -> int:
        return 1 + row(day + timedelta(days=step), step) if day in days else 0

    lengths = {day: row(day, 1) + row(day, -1) - 1 for day in days}
    return lengths.get(today) or lengths.get(today - timedelta(days=1)) or 0, max(lengths.values(), default=0)


def expected(live: Iterable[Activity], which: dict[str, Any], week_start: WeekStart, today: date) -> dict[str, Any]:
    counted = [
        one
        for one in live
        if one.activity_type is not ActivityType.TRANSITION
        and which["since"] <= one.local_date <= which["until"]
        and (not which["activity_types"] or one.activity_type in which["activity_types"])
        and {*which["tags"]} <= {*one.tags}
        and not {*which["excluded_tags"]} & {*one.tags}
    ]
    parts: dict[tuple[date, ActivityType], list[Activity]] = {}
    for one in counted:
        bucket = max(which["since"], first_day(one.local_date, which["period"], week_start))
        parts.setdefault((bucket, one.activity_type), []).append(one)
    return {
        "parts": {name: total(some) for name, some in sorted(parts.items())},
        "records": [
            record(counted, lambda one: one.duration_minutes),
            record(counted, lambda one: one.distance_km),
            record(counted, lambda one: one.elevation_gain_m),
        ],
        "streaks": streaks({one.local_date for one in counted}, today),
    }


def shown(found: Statistics) -> dict[str, Any]:
    return {
        "parts": {
            (part.since, part.activity_type): (
                part.sums.activities,
                Fraction(part.sums.duration, 1_000),
                Fraction(part.sums.elapsed, 1_000),
                Fraction(part.sums.distance_m, 1_000),
                Fraction(part.sums.climb_mm, 1_000),
                part.sums.calories_kcal,
                part.sums.average_speed_kmh,
                part.sums.with_distance,
                part.sums.average_heart_rate_bpm,
                part.sums.with_heart_rate,
            )
            for part in found.parts
        },
        "records": [one and one.activity_id for one in found.records],
        "streaks": (found.current_streak.days, found.longest_streak.days),
    }


async def test_statistics_are_what_the_live_activities_add_up_to(own_api: Api):
    """With and without the cache, after writes of every kind, for every period and filter."""
    container, draw = own_api.container, random.Random(18)
    clock = ManualClock(NOW)
    for service in (container.activities(), container.statistics(), container.administration()):
        object.__setattr__(service, "clock", clock)
    person = await own_api.admin()
    caller, writer = Caller(person.id, "test"), Writer(container, Caller(person.id, "test"), draw)
    other = await own_api.person()
    await container.activities().create(a_new_activity(**drawn(draw)), by=Caller(other.id, "test"))
    seen, repos = set(), [container.statistics_repo()]
    if not container.settings().in_memory:
        repos.append(PostgresStatisticsRepo(container.database(), few=0))  # all grouped by PostgreSQL
    for number in range(ROUNDS):
        await writer.write(ACTIVITIES // ROUNDS)
        week_start = draw.choice([*WeekStart])
        await container.accounts().update_me({"week_start": week_start}, by=caller)
        for which in [asked(draw) for _ in range(8)]:
            right = expected(writer.live.values(), which, week_start, NOW.date())
            for _ in range(2):
                copy = await container.statistics().find(by=caller, **which)
                seen.add(copy.origin)
                assert shown(copy.value) == right, (number, which)
            for repo in repos:
                found = await repo.find(person.id, copy.value.which)
                assert statistics_of(found, copy.value.which, today=NOW.date()) == copy.value
    assert {Origin.MISS, Origin.HIT} <= seen
    assert len(writer.live) > ACTIVITIES / 3
    settings = container.settings()
    if not settings.in_memory:
        (finding,) = await TotalsDiagnosis(settings.database_url).diagnose()
        assert finding.verdict is Verdict.GOOD
