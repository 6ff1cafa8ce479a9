"""Times as XML files write them."""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

_TIME = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})[T ](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,15}))?(?:Z|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)


def moment(text: str | None) -> datetime | None:
    """The time that `text` states, in UTC if it has no offset; None if it is not a valid time."""
    parts = _TIME.fullmatch((text or "").strip())
    if parts is None:
        return None
    *numbers, fraction, sign, hours, minutes = parts.groups()
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        zone = timezone(-offset if sign == "-" else offset)
        year, month, day, hour, minute, second = map(int, numbers)
        return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone)
    except ValueError:
        return None


_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:", re.ASCII)
_MINUTE_LENGTH = 17
_SECONDS = {f"{second:02}{end}": float(second) for second in range(60) for end in ("Z", ".000Z")}


def seconds(text: str) -> float | None:
    """Seconds since 1970, in UTC; None if `text` is not a valid time."""
    # Many successive points of a track are in the same minute. So nearly all are found without reading a date.
    second = _SECONDS.get(text[_MINUTE_LENGTH:])
    if second is not None and (minute_s := _minute_s(text[:_MINUTE_LENGTH])) is not None:
        return minute_s + second
    try:
        at = datetime.fromisoformat(text.strip())  # quicker than `moment`
    except ValueError:
        unusual = moment(text)
        return None if unusual is None else unusual.timestamp()
    return at.timestamp() if at.tzinfo is not None else at.replace(tzinfo=UTC).timestamp()


@lru_cache(maxsize=100)
def _minute_s(text: str) -> float | None:
    """`text` is a time in UTC without its seconds. None if it is anything else."""
    at = moment(f"{text}00Z") if _MINUTE.fullmatch(text) else None
    return None if at is None else at.timestamp()
