"""Days, weeks, months, averages and streaks as pure functions."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fitness.domain.model.activities import ActivityType, recorded
from fitness.domain.model.periods import Period, bucket_name, bucket_start
from fitness.domain.model.refusals import InvalidFields
from fitness.domain.model.statistics import (
    Found,
    Records,
    StatisticsFilter,
    Streak,
    Sums,
    added,
    is_counted,
    statistics_filter,
    statistics_of,
    sums_of,
)
from fitness.domain.model.users import WeekStart
from tests.builders import NOW, a_new_activity, an_activity

TODAY = date(2026, 11, 22)
MONDAY, SUNDAY = WeekStart


def asked(**stated: Any) -> StatisticsFilter:
    plain: dict[str, Any] = {
        "period": Period.DAILY,
        "week_start": MONDAY,
        "since": None,
        "until": None,
        "today": TODAY,
    }
    return statistics_filter(**(plain | stated))


@pytest.mark.parametrize(
    ("instant", "zone", "day", "week", "sunday_week", "month"),
    [
        ("2024-12-31T23:00", "Europe/Paris", "2025-01-01", "2025-W01", "2024-12-29", "2025-01"),
        ("2025-08-29T21:00", "Australia/Brisbane", "2025-08-30", "2025-W35", "2025-08-24", "2025-08"),
        ("2025-06-29T18:30", "Asia/Kathmandu", "2025-06-30", "2025-W27", "2025-06-29", "2025-06"),
        ("2025-06-29T12:30", "Pacific/Kiritimati", "2025-06-30", "2025-W27", "2025-06-29", "2025-06"),
        ("2027-01-03T12:00", "UTC", "2027-01-03", "2026-W53", "2027-01-03", "2027-01"),
        # Both sides of the clock changes: midnight before and after is another instant.
        ("2025-03-09T04:59", "America/New_York", "2025-03-08", "2025-W10", "2025-03-02", "2025-03"),
        ("2025-03-09T05:00", "America/New_York", "2025-03-09", "2025-W10", "2025-03-09", "2025-03"),
        ("2025-03-10T03:59", "America/New_York", "2025-03-09", "2025-W10", "2025-03-09", "2025-03"),
        ("2025-03-10T04:00", "America/New_York", "2025-03-10", "2025-W11", "2025-03-09", "2025-03"),
        ("2025-11-02T03:59", "America/New_York", "2025-11-01", "2025-W44", "2025-10-26", "2025-11"),
        ("2025-11-02T04:00", "America/New_York", "2025-11-02", "2025-W44", "2025-11-02", "2025-11"),
        ("2025-11-03T04:59", "America/New_York", "2025-11-02", "2025-W44", "2025-11-02", "2025-11"),
        ("2025-11-03T05:00", "America/New_York", "2025-11-03", "2025-W45", "2025-11-02", "2025-11"),
        ("2025-03-29T23:00", "Europe/Paris", "2025-03-30", "2025-W13", "2025-03-30", "2025-03"),
        ("2025-03-30T21:59", "Europe/Paris", "2025-03-30", "2025-W13", "2025-03-30", "2025-03"),
        ("2025-03-30T22:00", "Europe/Paris", "2025-03-31", "2025-W14", "2025-03-30", "2025-03"),
        ("2025-10-25T22:00", "Europe/Paris", "2025-10-26", "2025-W43", "2025-10-26", "2025-10"),
        ("2025-10-26T22:59", "Europe/Paris", "2025-10-26", "2025-W43", "2025-10-26", "2025-10"),
        ("2025-10-26T23:00", "Europe/Paris", "2025-10-27", "2025-W44", "2025-10-26", "2025-10"),
    ],
)
def test_an_activity_belongs_to_the_day_week_and_month_of_its_own_clocks(
    instant: str, zone: str, day: str, week: str, sunday_week: str, month: str
):
    new = a_new_activity(activity_date=datetime.fromisoformat(instant).replace(tzinfo=UTC))
    local = recorded(new, user_id=1, timezone=zone, now=NOW).local_date
    assert local.isoformat() == day
    assert bucket_name(local, Period.DAILY, MONDAY) == day
    assert bucket_name(local, Period.WEEKLY, MONDAY) == week
    assert bucket_name(local, Period.WEEKLY, SUNDAY) == sunday_week
    assert bucket_name(local, Period.MONTHLY, MONDAY) == month


@pytest.mark.parametrize("week_start", WeekStart)
def test_every_day_is_in_one_week_that_begins_on_its_weekday(week_start: WeekStart):
    for number in range(3_000):
        day = date(2020, 1, 1) + timedelta(days=number)
        first = bucket_start(day, Period.WEEKLY, week_start)
        assert f"{first:%A}".lower() == week_start
        assert timedelta(0) <= day - first <= timedelta(days=6)


@pytest.mark.parametrize(
    ("period", "since", "until", "most"),
    [
        (Period.DAILY, "2025-01-01", "2026-02-04", 400),
        (Period.WEEKLY, "2023-01-01", "2026-01-18", 160),
        (Period.MONTHLY, "2015-01-31", "2024-12-01", 120),
    ],
)
def test_so_many_buckets_and_one_day_too_many(period: Period, since: str, until: str, most: int):
    first, last = date.fromisoformat(since), date.fromisoformat(until)
    which = asked(period=period, since=first, until=last)
    assert len(which.buckets) == most
    with pytest.raises(InvalidFields, match=rf"from: and `to` must span at most {most} "):
        asked(period=period, since=first, until=bucket_start(which.buckets[-1].until, period, MONDAY) + timedelta(31))


def test_buckets_are_complete_in_order_and_cut_off_at_both_ends():
    which = asked(period=Period.WEEKLY, since=date(2025, 1, 1), until=date(2025, 1, 14))
    assert which.buckets == [
        (date(2025, 1, 1), date(2025, 1, 5)),
        (date(2025, 1, 6), date(2025, 1, 12)),
        (date(2025, 1, 13), date(2025, 1, 14)),
    ]


@pytest.mark.parametrize(
    ("period", "first"), [(Period.DAILY, "2026-10-24"), (Period.WEEKLY, "2026-08-31"), (Period.MONTHLY, "2025-12-01")]
)
def test_without_days_it_is_30_days_12_weeks_or_12_months_up_to_today(period: Period, first: str):
    which = asked(period=period)
    assert (which.since.isoformat(), which.until) == (first, TODAY)
    assert len(which.buckets) == period.usual


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"since": date(2026, 1, 2), "until": date(2026, 1, 1)}, "from"),
        ({"since": TODAY + timedelta(days=1)}, "from"),
        ({"since": date(1, 1, 1)}, "from"),
        ({"until": date(9999, 12, 31)}, "to"),
    ],
)
def test_days_that_make_no_range_are_refused_by_name(stated: dict[str, date], field: str):
    with pytest.raises(InvalidFields) as refusal:
        asked(**stated)
    assert [problem.field for problem in refusal.value.problems] == [field]


def test_the_earliest_days_can_be_asked_for():
    assert len(asked(until=date(1970, 1, 2)).buckets) == 3


def test_averages_are_weighted_and_of_those_that_have_the_value():
    sums = added(
        map(
            sums_of,
            [
                an_activity(duration_minutes=60.0, distance_km=10.0, average_heart_rate_bpm=120),
                an_activity(duration_minutes=30.0, distance_km=10.0),
                an_activity(duration_minutes=180.0, average_heart_rate_bpm=160),
            ],
        )
    )
    assert sums.average_speed_kmh == pytest.approx(20 / 1.5)
    assert sums.average_heart_rate_bpm == 150
    assert (sums.with_distance, sums.with_heart_rate) == (2, 2)
    assert (Sums().average_speed_kmh, Sums().average_heart_rate_bpm) == (None, None)


def test_what_is_added_up_is_exact():
    assert added([sums_of(an_activity(duration_minutes=0.001, distance_km=0.1))] * 3_000).distance_m == 300_000


@pytest.mark.parametrize(
    ("days", "current", "longest"),
    [
        ("", 0, 0),
        ("22", 1, 1),
        ("21", 1, 1),
        ("20", 0, 1),
        ("20 21 22", 3, 3),
        ("20 21", 2, 2),
        ("1 2 3 20 21", 2, 3),
        ("1 2 20 21", 2, 2),
        ("22 23", 2, 2),
        ("23", 0, 1),
    ],
)
def test_a_streak_goes_on_until_a_whole_day_has_passed_without_an_activity(days: str, current: int, longest: int):
    found = Found((), Records(), tuple(date(2026, 11, int(day)) for day in days.split()))
    statistics = statistics_of(found, asked(), today=TODAY)
    assert (statistics.current_streak.days, statistics.longest_streak.days) == (current, longest)


def test_the_latest_of_equal_streaks_is_told():
    found = Found((), Records(), (date(2026, 11, 1), date(2026, 11, 5)))
    assert statistics_of(found, asked(), today=TODAY).longest_streak == Streak(1, date(2026, 11, 5), date(2026, 11, 5))


def test_transitions_are_in_no_statistic():
    assert all(is_counted(an_activity(activity_type=kind)) == (kind != "transition") for kind in ActivityType)
    assert not is_counted(replace(an_activity(), activity_type="transition"))  # type: ignore[arg-type]
