"""Time zones by their IANA names, and the calendar day they put an instant on."""

from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

# In the database of names, but no place's: the machine's own zone, and the one of a machine that has none.
_PLACELESS = {"localtime", "Factory"}


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones() - _PLACELESS)


def is_time_zone(name: str) -> bool:
    return name in _names()


def local_date(instant: datetime, timezone: str) -> date:
    """The day of the aware `instant` on the wall calendar of `timezone`."""
    return instant.astimezone(ZoneInfo(timezone)).date()


def zone_with_offset(offset: timedelta, *, at: datetime, preferred: str) -> str | None:
    """A zone whose clocks stood `offset` from UTC at `at`; None where there is none.

    `preferred` wins where it fits, since a person's own zone says more than a bare offset. Whole hours then have a
    fixed zone (whose names count westwards); for the rest the first by name that fits.
    """
    if at.astimezone(ZoneInfo(preferred)).utcoffset() == offset:
        return preferred
    hours, rest = divmod(offset, timedelta(hours=1))
    if not rest:
        fixed = "Etc/UTC" if hours == 0 else f"Etc/GMT{-hours:+d}"
        return fixed if is_time_zone(fixed) else None
    return next((name for name in sorted(_names()) if at.astimezone(ZoneInfo(name)).utcoffset() == offset), None)
