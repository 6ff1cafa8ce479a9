"""Range requests (RFC 9110, 14): one range of bytes. Several ranges get the whole file, as the RFC allows."""

import re

from fitness.domain.model.fields import Says
from fitness.entrypoints.http.kinds import RangeNotSatisfiable

RANGE: dict[str, str | Says] = {
    "Range": "One part of the file, such as `bytes=0-1023`; the answer is 206. Else it is the whole file.",
    "If-Range": "The ETag that the parts read so far had; if it is another one now, the answer is the whole file.",
}

SENT = ("Accept-Ranges", "Content-Range")
"""The headers that answers to a Range have."""

_ONE_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE | re.ASCII)


def asked_part(range_: str | None, if_range: str | None, *, tag: str, size_bytes: int) -> slice | None:
    """The part of the file that is asked for; None for the whole file. Raises RangeNotSatisfiable."""
    match = _ONE_RANGE.fullmatch(range_ or "")
    if match is None or (if_range is not None and if_range != tag):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        begin, end = max(0, size_bytes - int(last)), size_bytes
    else:
        begin, end = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
        if last and int(last) < begin:
            return None
    if begin >= size_bytes:
        raise RangeNotSatisfiable(size_bytes)
    return slice(begin, end)


def content_range(part: slice, size_bytes: int) -> str:
    return f"bytes {part.start}-{part.stop - 1}/{size_bytes}"
