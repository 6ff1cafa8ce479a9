"""What every StatisticsRepoPort promises; test_statistics_oracle.py compares it with plain Python."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from fitness.domain.model.activities import Activity, ActivityType
from fitness.domain.model.periods import Period
from fitness.domain.model.statistics import Found, Records, StatisticsFilter, Sums
from fitness.domain.model.users import User, WeekStart
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.statistics import StatisticsRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, an_activity, messages
from tests.unit.contracts.activities import authority

SOUTH = "Australia/Brisbane"
A_YEAR = StatisticsFilter(
    period=Period.MONTHLY, week_start=WeekStart.MONDAY, since=date(2025, 1, 1), until=date(2025, 12, 31)
)


def asked(**stated: Any) -> StatisticsFilter:
    plain: dict[str, Any] = {name: getattr(A_YEAR, name) for name in ("period", "week_start", "since", "until")}
    return StatisticsFilter(**(plain | stated))


def on(day: int, month: int = 6, hour: int = 12) -> datetime:
    return datetime(2025, month, day, hour, tzinfo=UTC)


def totals(found: Found) -> dict[str, int]:
    """How many activities each bucket has."""
    counts: dict[str, int] = {}
    for part in found.parts:
        counts[part.since.isoformat()] = counts.get(part.since.isoformat(), 0) + part.sums.activities
    return counts


class StatisticsRepoContract:
    """An implementation's class gives the fixtures `repo`, `users` and `statistics` over one store."""

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    async def add(self, repo: ActivityRepoPort, owner: User) -> Any:
        async def add(**stated: Any) -> Activity:
            return (await repo.add(an_activity(user_id=owner.id, **stated), messages=messages())).activity

        return add

    async def test_nothing_adds_up_to_nothing(self, statistics: StatisticsRepoPort, owner: User):
        for period in Period:
            which = asked(period=period, since=date(2025, 6, 1), until=date(2025, 7, 3))
            assert await statistics.find(owner.id, which) == Found((), Records(), ())

    async def test_what_is_unknown_adds_nothing_and_is_in_no_average(
        self, statistics: StatisticsRepoPort, owner: User, add: Any
    ):
        await add(activity_date=on(2), duration_minutes=30.0, distance_km=10.0, average_heart_rate_bpm=120)
        await add(
            activity_date=on(3), elapsed_minutes=90.25, duration_minutes=60.5, distance_km=0.0, elevation_gain_m=100.25
        )
        await add(activity_date=on(4), duration_minutes=10.001, calories_kcal=80, average_heart_rate_bpm=150)
        (part,) = (await statistics.find(owner.id, A_YEAR)).parts
        assert part == (
            date(2025, 6, 1),
            ActivityType.RUN,
            Sums(
                activities=3,
                duration=100_501,
                elapsed=30_000 + 90_250 + 10_001,
                distance_m=10_000,
                climb_mm=100_250,
                calories_kcal=80,
                with_distance=2,
                duration_with_distance=90_500,
                with_heart_rate=2,
                duration_with_heart_rate=40_001,
                heartbeats=30_000 * 120 + 10_001 * 150,
            ),
        )

    @pytest.mark.parametrize(
        ("period", "week_start", "bucket"),
        [
            (Period.DAILY, WeekStart.MONDAY, "2025-08-30"),
            (Period.WEEKLY, WeekStart.MONDAY, "2025-08-25"),
            (Period.WEEKLY, WeekStart.SUNDAY, "2025-08-24"),
            (Period.MONTHLY, WeekStart.MONDAY, "2025-08-01"),
        ],
    )
    async def test_an_activity_counts_in_the_bucket_of_its_own_local_date(
        self,
        statistics: StatisticsRepoPort,
        owner: User,
        add: Any,
        period: Period,
        week_start: WeekStart,
        bucket: str,
    ):
        await add(activity_date=datetime(2025, 8, 29, 21, tzinfo=UTC), timezone=SOUTH)
        which = asked(period=period, week_start=week_start, since=date(2025, 8, 1), until=date(2025, 9, 7))
        expected = max(bucket, "2025-08-01")
        assert totals(await statistics.find(owner.id, which)) == {expected: 1}

    async def test_the_ends_of_the_range_cut_buckets_off(self, statistics: StatisticsRepoPort, owner: User, add: Any):
        for day in range(1, 31):
            await add(activity_date=on(day))
        await add(activity_date=on(31, month=7))
        weeks = asked(period=Period.WEEKLY, since=date(2025, 6, 4), until=date(2025, 6, 17))
        found = await statistics.find(owner.id, weeks)
        assert totals(found) == {"2025-06-04": 5, "2025-06-09": 7, "2025-06-16": 2}
        assert found.days == tuple(date(2025, 6, day) for day in range(4, 18))
        months = asked(since=date(2025, 5, 20), until=date(2025, 7, 30))
        assert totals(await statistics.find(owner.id, months)) == {"2025-06-01": 30}
        within = asked(since=date(2025, 6, 3), until=date(2025, 6, 4))
        assert totals(await statistics.find(owner.id, within)) == {"2025-06-03": 2}

    async def test_sunday_begins_a_week_or_ends_one(self, statistics: StatisticsRepoPort, owner: User, add: Any):
        for day in (7, 8, 9):  # Saturday, Sunday, Monday
            await add(activity_date=on(day))
        span = {"period": Period.WEEKLY, "since": date(2025, 6, 1), "until": date(2025, 6, 28)}
        monday = await statistics.find(owner.id, asked(**span, week_start=WeekStart.MONDAY))
        assert totals(monday) == {"2025-06-02": 2, "2025-06-09": 1}
        sunday = await statistics.find(owner.id, asked(**span, week_start=WeekStart.SUNDAY))
        assert totals(sunday) == {"2025-06-01": 1, "2025-06-08": 2}

    async def test_types_and_tags_narrow_it(self, statistics: StatisticsRepoPort, owner: User, add: Any):
        await add(activity_date=on(2), tags=("race", "hills"), duration_minutes=10.0)
        await add(activity_date=on(3), tags=("race",), duration_minutes=20.0)
        await add(activity_date=on(4), activity_type=ActivityType.RIDE, duration_minutes=40.0)

        async def minutes(**stated: Any) -> list[int]:
            found = await statistics.find(owner.id, asked(**stated))
            longest = found.records.longest
            assert longest is not None
            days = {one.day for one in found.days}
            return [sum(part.sums.duration for part in found.parts), longest.value, *sorted(days)]

        assert await minutes() == [70_000, 40_000, 2, 3, 4]
        assert await minutes(activity_types=(ActivityType.RUN,)) == [30_000, 20_000, 2, 3]
        assert await minutes(tags=("race",)) == [30_000, 20_000, 2, 3]
        assert await minutes(tags=("hills", "race")) == [10_000, 10_000, 2]
        assert await minutes(excluded_tags=("hills",)) == [60_000, 40_000, 3, 4]

    @pytest.mark.parametrize("tags", [(), ("race",)])
    @pytest.mark.parametrize("period", [*Period])
    async def test_a_transition_counts_in_nothing(
        self, statistics: StatisticsRepoPort, owner: User, add: Any, period: Period, tags: tuple[str, ...]
    ):
        one = await add(activity_date=on(9), distance_km=1.0, tags=("race",))
        await add(activity_date=on(9), distance_km=5.0, tags=("race",), activity_type=ActivityType.TRANSITION)
        await add(activity_date=on(10), distance_km=5.0, tags=("race",), activity_type=ActivityType.TRANSITION)
        found = await statistics.find(owner.id, asked(period=period, since=date(2025, 6, 4), tags=tags))
        assert [part.sums.activities for part in found.parts] == [1]
        assert found.days == (date(2025, 6, 9),)
        assert found.records.furthest is not None
        assert found.records.furthest.activity_id == one.id

    @pytest.mark.parametrize("period", [*Period])
    async def test_of_equal_records_the_earliest_counts(
        self, statistics: StatisticsRepoPort, owner: User, add: Any, period: Period
    ):
        await add(activity_date=on(9, month=9), distance_km=5.0)
        first = await add(activity_date=on(5), distance_km=5.0, elevation_gain_m=0.0)
        await add(activity_date=on(5), distance_km=5.0)
        records = (await statistics.find(owner.id, asked(period=period))).records
        assert records.furthest == (first.id, ActivityType.RUN, date(2025, 6, 5), 5_000)
        assert records.longest is not None
        assert records.longest.activity_id == first.id
        assert records.most_climb is None

    @pytest.mark.parametrize("period", [*Period])
    async def test_of_equal_records_the_earliest_counts_also_where_it_was_a_later_day(
        self, statistics: StatisticsRepoPort, owner: User, add: Any, period: Period
    ):
        """1 July had begun in Kiritimati when it was still 30 June in New York, nine hours later."""
        first = await add(activity_date=on(30, hour=11), timezone="Pacific/Kiritimati", distance_km=5.0)
        await add(activity_date=on(30, hour=20), timezone="America/New_York", distance_km=5.0)
        records = (await statistics.find(owner.id, asked(period=period))).records
        assert records.furthest == (first.id, ActivityType.RUN, date(2025, 7, 1), 5_000)

    async def test_a_record_that_goes_leaves_it_to_the_next_best_wherever_that_is(
        self, statistics: StatisticsRepoPort, repo: ActivityRepoPort, owner: User, add: Any
    ):
        kept = [await add(activity_date=on(5, month=month), distance_km=float(month)) for month in range(1, 13)]
        await add(activity_date=on(9, month=11), distance_km=0.5)
        for best in reversed(kept[1:]):
            records = (await statistics.find(owner.id, A_YEAR)).records
            assert records.furthest is not None
            assert records.furthest.activity_id == best.id
            await repo.soft_delete(best.id, owner=owner.id, at=NOW, messages=messages())
        records = (await statistics.find(owner.id, A_YEAR)).records
        assert records.furthest is not None
        assert records.furthest.activity_id == kept[0].id

    async def test_only_the_owners_live_activities_count(
        self, statistics: StatisticsRepoPort, repo: ActivityRepoPort, users: UserRepoPort, owner: User, add: Any
    ):
        stranger = await users.add(a_registration(), password_hash="-", at=NOW)
        one = await add(activity_date=on(2))

        async def counts() -> list[int]:
            return [
                sum(totals(await statistics.find(person.id, asked(period=period, since=date(2025, 6, 1)))).values())
                for person in (owner, stranger)
                for period in (Period.WEEKLY, Period.MONTHLY)
            ]

        assert await counts() == [1, 1, 0, 0]
        await repo.soft_delete(one.id, owner=owner.id, at=NOW, messages=messages())
        assert await counts() == [0, 0, 0, 0]
        await repo.restore(one.id, owner=owner.id, at=NOW, messages=messages())
        assert await counts() == [1, 1, 0, 0]
        await repo.soft_delete(one.id, owner=owner.id, at=NOW, messages=messages())
        await repo.purge(one.id, messages=messages(authority=authority()))
        assert await counts() == [0, 0, 0, 0]

    async def test_totals_stay_right_after_a_rebuild_of_all_accounts(
        self, statistics: StatisticsRepoPort, repo: ActivityRepoPort, users: UserRepoPort, owner: User, add: Any
    ):
        people = [owner, *[await users.add(a_registration(), password_hash="-", at=NOW) for _ in range(25)]]
        for person in people:
            await repo.add(an_activity(user_id=person.id, activity_date=on(2)), messages=messages())
        after: int | None = 0
        while after is not None:
            after = await statistics.rebuild(after=after)
        for person in people:
            await repo.add(an_activity(user_id=person.id, activity_date=on(3)), messages=messages())
            assert totals(await statistics.find(person.id, A_YEAR)) == {"2025-06-01": 2}
