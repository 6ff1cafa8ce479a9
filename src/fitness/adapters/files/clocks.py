"""Times as XML files write them."""

import re
from datetime import UTC, datetime, timedelta, timezone

_TIME = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})[T ](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,15}))?(?:Z|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)


def moment(text: str | None) -> datetime | None:
    """None where there is no such time. Without an offset it is in UTC."""
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


def seconds(text: str) -> float | None:
    """Since 1970, in UTC; None where there is no such time."""
    try:
        at = datetime.fromisoformat(text)  # the quicker way, which reads nearly all
    except ValueError:
        unusual = moment(text)
        return None if unusual is None else unusual.timestamp()
    return at.timestamp() if at.tzinfo is not None else at.replace(tzinfo=UTC).timestamp()
