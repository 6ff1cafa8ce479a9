"""The records of a FIT file, one for each second or so, as points.

They are read only for values that the sessions lack. So only the few fields that are needed are unpacked.
"""

import struct
from collections.abc import Iterator
from operator import itemgetter

from fitness.adapters.files.fit_messages import (
    COMPRESSED,
    DEFINITION,
    RECORD,
    Definition,
    FitPart,
    definition_at,
    local_type,
)
from fitness.adapters.files.points import UNKNOWN, Points

FIT_EPOCH_S = 631_065_600
"""1989-12-31 in seconds since 1970."""

_DEGREES = 180 / 2**31
"""The degrees in one of FIT's units of angle, called semicircles."""

TIMESTAMP = 253
LATITUDE, LONGITUDE, ALTITUDE, HEART_RATE, DISTANCE, ENHANCED_ALTITUDE = 0, 1, 2, 3, 5, 78

_WANTED: dict[int, tuple[str, int]] = {
    TIMESTAMP: ("I", 0x86),
    LATITUDE: ("i", 0x85),
    LONGITUDE: ("i", 0x85),
    ALTITUDE: ("H", 0x84),
    ENHANCED_ALTITUDE: ("I", 0x86),
    DISTANCE: ("I", 0x86),
    HEART_RATE: ("B", 0x02),
}
"""The fields that are read: how `struct` packs each one, and FIT's number for that type."""

_TIME_BITS = 0x1F

Record = tuple[int | None, int | None, int | None, int | None, int | None, int | None, int | None]
"""In the order of _WANTED, in the file's units; None where the record has no such field."""


def points_of(content: bytes, part: FitPart) -> tuple[Points, int]:
    """The records that have a time, as far as the part is sound, and the number of records without a time."""
    points, untimed = Points(), 0
    add = points.add
    for time_s, (_, latitude, longitude, altitude, enhanced_altitude, distance, heart_rate) in _records(content, part):
        if enhanced_altitude is None or enhanced_altitude == 0xFFFFFFFF:
            elevation_m = UNKNOWN if altitude is None or altitude == 0xFFFF else altitude / 5 - 500
        else:
            elevation_m = enhanced_altitude / 5 - 500
        if time_s is None:
            untimed += 1
            continue
        add(
            time_s + FIT_EPOCH_S,
            UNKNOWN if latitude is None or latitude == 0x7FFFFFFF else latitude * _DEGREES,
            UNKNOWN if longitude is None or longitude == 0x7FFFFFFF else longitude * _DEGREES,
            elevation_m,
            UNKNOWN if distance is None or distance == 0xFFFFFFFF else distance / 100,
            UNKNOWN if not heart_rate or heart_rate == 0xFF else heart_rate,
        )
    return points, untimed


def first_place(content: bytes, part: FitPart) -> tuple[float, float] | None:
    """Latitude and longitude of the first record that has them."""
    points = Points()
    for _, (_, latitude, longitude, *_) in _records(content, part):
        if latitude is not None and longitude is not None and 0x7FFFFFFF not in (latitude, longitude):
            points.add(0.0, latitude * _DEGREES, longitude * _DEGREES)
            if (place := points.first_place()) is not None:
                return place
            points = Points()
    return None


class _Layout:
    """How a kind of message is packed."""

    def __init__(self, definition: Definition) -> None:
        self.size = definition.message_size
        self.is_record = definition.number == RECORD
        code, found = definition.order, list[int]()
        for number, size, base_type in definition.fields():
            letter, expected = _WANTED.get(number, ("", None))
            if base_type == expected and size == struct.calcsize(f"={letter}") and number not in found:
                code += letter
                found.append(number)
            else:
                code += f"{size}x"
        self._unpack = struct.Struct(code).unpack_from
        self._pick = itemgetter(*(found.index(number) if number in found else -1 for number in _WANTED))

    def record(self, content: bytes, at: int) -> Record:
        picked: Record = self._pick((*self._unpack(content, at), None))
        return picked


def _records(content: bytes, part: FitPart) -> Iterator[tuple[int | None, Record]]:
    """The records, each with its time in seconds since FIT's epoch, or None. Ends where the part is damaged."""
    layouts: dict[int, _Layout] = {}
    at, end = part.begin, part.end
    last_s: int | None = None
    while at < end:
        header = content[at]
        if header & DEFINITION and not header & COMPRESSED:
            try:
                definition = definition_at(content, at)
            except (struct.error, IndexError):
                return
            layouts[local_type(header)] = _Layout(definition)
            at += definition.size
            continue
        layout = layouts.get(local_type(header))
        if layout is None or at + 1 + layout.size > end:
            return
        record = layout.record(content, at + 1)
        time_s = record[0] if record[0] != 0xFFFFFFFF else None
        if time_s is None and header & COMPRESSED and last_s is not None:
            time_s = last_s + (header - last_s & _TIME_BITS)
        last_s = last_s if time_s is None else time_s
        if layout.is_record:
            yield time_s, record
        at += 1 + layout.size
