"""Days, weeks and months: where each begins, and what it is called."""

from datetime import date, timedelta
from enum import StrEnum

from fitness.domain.model.users import WeekStart

DAY = timedelta(days=1)


class Period(StrEnum):
    """What a bucket is; a week begins where the profile says."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"

    @property
    def most(self) -> int:
        """The most buckets that may be asked for at once."""
        return _MOST[self]

    @property
    def units(self) -> str:
        return _UNITS[self]

    @property
    def usual(self) -> int:
        """The number of buckets up to the last day, if no first day is asked for."""
        return _USUAL[self]


_MOST = {Period.DAILY: 400, Period.WEEKLY: 160, Period.MONTHLY: 120}
_USUAL = {Period.DAILY: 30, Period.WEEKLY: 12, Period.MONTHLY: 12}
_UNITS = {Period.DAILY: "days", Period.WEEKLY: "weeks", Period.MONTHLY: "months"}


def bucket_start(day: date, period: Period, week_start: WeekStart) -> date:
    """The first day of the day, week or month that `day` is in."""
    if period is Period.DAILY:
        return day
    if period is Period.MONTHLY:
        return day.replace(day=1)
    return day - timedelta(days=day.weekday() if week_start is WeekStart.MONDAY else day.isoweekday() % 7)


def bucket_name(day: date, period: Period, week_start: WeekStart) -> str:
    """The name of the bucket that `day` is in: `2026-11`, `2026-W48`, or the first day if it has no such name."""
    if period is Period.MONTHLY:
        return f"{day:%Y-%m}"
    if period is Period.WEEKLY and week_start is WeekStart.MONDAY:
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    return bucket_start(day, period, week_start).isoformat()


def following_start(first: date, period: Period) -> date:
    """The first day of the next bucket."""
    if period is Period.MONTHLY:
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=1 if period is Period.DAILY else 7)
