"""Small recorded files, written as devices write them."""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

FIT_EPOCH = datetime(1989, 12, 31, tzinfo=UTC)
FIT_SPORTS = {"running": 1, "cycling": 2, "transition": 3, "fitness_equipment": 4, "swimming": 5}
FIT_SUB_SPORTS = {"indoor_rowing": 14, "virtual_activity": 58}

MORNING = datetime(2026, 5, 1, 6, tzinfo=UTC)


def gpx(*tracks: str, header: str = "") -> bytes:
    text = f"""<?xml version="1.0" encoding="UTF-8"?>{header}
<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1"
     xmlns:tpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v1">{"".join(tracks)}</gpx>"""
    return text.encode()


def track(
    *times: str | None, name: str = "Morning loop", kind: str = "running", heart_rates: Sequence[int] = ()
) -> str:
    """Points 0.001 degrees (about 111 m) apart, back and forth, at first uphill."""
    points = []
    for number, time in enumerate(times):
        stamp = f"<time>{time}</time>" if time else ""
        pulse = ""
        if heart_rates:
            hr = f"<tpx:TrackPointExtension><tpx:hr>{heart_rates[number]}</tpx:hr></tpx:TrackPointExtension>"
            pulse = f"<extensions>{hr}</extensions>"
        ele = f"<ele>{100 + 5 * min(number, 9)}</ele>"
        points.append(f'<trkpt lat="{46 + number % 2 / 1000}" lon="14.5">{ele}{stamp}{pulse}</trkpt>')
    return f"<trk><name>{name}</name><type>{kind}</type><trkseg>{''.join(points)}</trkseg></trk>"


A_TRACK = gpx(track("2026-05-01T06:00:00Z", "2026-05-01T06:05:00Z", "2026-05-01T06:10:00Z"))


def tcx(*activities: str) -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<TrainingCenterDatabase xmlns="http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2">
  <Activities>{"".join(activities)}</Activities>
</TrainingCenterDatabase>""".encode()


def tcx_activity(*laps: str, sport: str = "Running") -> str:
    return f'<Activity Sport="{sport}"><Id>2026-05-01T06:00:00Z</Id>{"".join(laps)}</Activity>'


def lap(start: str | None, *, seconds: float, metres: float, kcal: int, average: int, highest: int) -> str:
    stamp = f' StartTime="{start}"' if start else ""
    return f"""<Lap{stamp}><TotalTimeSeconds>{seconds}</TotalTimeSeconds><DistanceMeters>{metres}</DistanceMeters>
        <Calories>{kcal}</Calories><AverageHeartRateBpm><Value>{average}</Value></AverageHeartRateBpm>
        <MaximumHeartRateBpm><Value>{highest}</Value></MaximumHeartRateBpm></Lap>"""


class FitFile:
    """Writes the messages of a FIT file that a session needs. Numbers are those of Garmin's profile."""

    def __init__(self) -> None:
        self._body = b""
        self._message(0, [(0, 1, 0x00, 4)])  # file_id: an activity

    def session(
        self,
        sport: str = "running",
        sub_sport: str | None = None,
        *,
        start: datetime | None = MORNING,
        timer_s: float | None = 1800.0,
        elapsed_s: float = 1800.0,
        distance_m: float = 5000.0,
        ascent_m: int = 42,
        kcal: int = 300,
        average_hr: int = 140,
        highest_hr: int = 171,
        retyped: Mapping[int, int] | None = None,
    ) -> "FitFile":
        """`retyped` fields have the same bytes under another of FIT's base types."""
        fields = [
            (5, 1, 0x00, FIT_SPORTS[sport]),
            (7, 4, 0x86, round(elapsed_s * 1000)),
            (9, 4, 0x86, round(distance_m * 100)),
            (11, 2, 0x84, kcal),
            (16, 1, 0x02, average_hr),
            (17, 1, 0x02, highest_hr),
            (22, 2, 0x84, ascent_m),
        ]
        if sub_sport is not None:
            fields.append((6, 1, 0x00, FIT_SUB_SPORTS[sub_sport]))
        if start is not None:
            fields.append((2, 4, 0x86, fit_time(start)))
        if timer_s is not None:
            fields.append((8, 4, 0x86, round(timer_s * 1000)))
        self._message(18, [(n, size, (retyped or {}).get(n, kind), value) for n, size, kind, value in fields])
        return self

    def sport(self, name: str) -> "FitFile":
        encoded = name.encode() + b"\0"
        self._definition(12, [(3, len(encoded), 0x07)])
        self._body += b"\x00" + encoded
        return self

    def clock(self, local_offset: timedelta | None) -> "FitFile":
        """The activity message: when it ended in UTC, and what the watch showed; None is a clock never set."""
        ended = MORNING + timedelta(hours=1)
        local = FIT_EPOCH if local_offset is None else ended + local_offset
        self._message(34, [(253, 4, 0x86, fit_time(ended)), (5, 4, 0x86, fit_time(local))])
        return self

    def message(self, number: int, fields: Sequence[tuple[int, int, int, int]]) -> "FitFile":
        """Any other: of each field its number, size, base type and value."""
        self._message(number, fields)
        return self

    def content(self) -> bytes:
        header = struct.pack("<BBHI4s", 14, 0x10, 2132, len(self._body), b".FIT")
        header += struct.pack("<H", crc_by_bits(header))
        return header + self._body + struct.pack("<H", crc_by_bits(header + self._body))

    def _definition(self, number: int, fields: Sequence[tuple[int, int, int]]) -> None:
        self._body += struct.pack("<BBBHB", 0x40, 0, 0, number, len(fields))
        for field, size, base_type in fields:
            self._body += struct.pack("<BBB", field, size, base_type)

    def _message(self, number: int, fields: Sequence[tuple[int, int, int, int]]) -> None:
        self._definition(number, [field[:3] for field in fields])
        self._body += b"\x00"
        for _, size, _, value in fields:
            self._body += value.to_bytes(size, "little")


def fit_time(moment: datetime) -> int:
    return int((moment - FIT_EPOCH).total_seconds())


def crc_by_bits(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc
