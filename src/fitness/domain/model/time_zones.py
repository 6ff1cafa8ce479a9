"""Time zones by their IANA names or as fixed offsets, and the calendar day they put an instant on."""

import re
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

# Names in the database that belong to no place: the machine's own zone, and the zone of a machine that has none.
_PLACELESS = {"localtime", "Factory"}

QUARTER = timedelta(minutes=15)
"""All zones in use are whole quarters of an hour from UTC."""
WESTERNMOST, EASTERNMOST = timedelta(hours=-12), timedelta(hours=14)

_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones() - _PLACELESS)


def is_time_zone(name: str) -> bool:
    return name in _names()


def is_fixed_offset(name: str) -> bool:
    """Whether the name is an offset such as +09:00, which is eastwards of UTC."""
    parts = _OFFSET.fullmatch(name)
    return parts is not None and int(parts[3]) < 60 and _is_offset(_offset(parts))


def time_zone_problem(name: str) -> str | None:
    return None if is_time_zone(name) else "must be an IANA time zone name such as Europe/Paris"


def recorded_zone_problem(name: str) -> str | None:
    """Why an activity cannot have this zone, or None. An offset will do: a watch may know no more of its zone."""
    if is_fixed_offset(name) or is_time_zone(name):
        return None
    return "must be an IANA time zone name such as Europe/Paris, or an offset such as +09:00"


def local_date(instant: datetime, timezone: str) -> date:
    """The day of the aware `instant` on the wall calendar of `timezone`, a zone's name or a fixed offset."""
    return instant.astimezone(_zone(timezone)).date()


def zone_of_recording(
    began: datetime, ended: datetime, *, utc_offset: timedelta | None, place_zone: str | None, home: str
) -> str:
    """The zone whose calendar a recording belongs to: that of the place, else that of home.

    If the device's clock had a `utc_offset`, the zone must have the same offset when the recording began or when it
    ended: devices write the offset of the end, and clocks may change in between. If neither zone has it, the offset
    itself is the zone.
    """
    if utc_offset is None:
        return place_zone or home
    for name in (place_zone, home):
        if name is not None and utc_offset in (_offset_at(began, name), _offset_at(ended, name)):
            return name
    return _as_offset(utc_offset) if _is_offset(utc_offset) else place_zone or home


def _zone(name: str) -> tzinfo:
    parts = _OFFSET.fullmatch(name)
    return ZoneInfo(name) if parts is None else timezone(_offset(parts))


def _offset(parts: re.Match[str]) -> timedelta:
    offset = timedelta(hours=int(parts[2]), minutes=int(parts[3]))
    return -offset if parts[1] == "-" else offset


def _is_offset(offset: timedelta) -> bool:
    return WESTERNMOST <= offset <= EASTERNMOST and not offset % QUARTER


def _as_offset(offset: timedelta) -> str:
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"{'-' if offset < timedelta() else '+'}{hours:02}:{minutes:02}"


def _offset_at(instant: datetime, name: str) -> timedelta | None:
    """The zone's offset from UTC at that instant; None at the edge of the calendar."""
    try:
        return instant.astimezone(ZoneInfo(name)).utcoffset()
    except OverflowError:
        return None
