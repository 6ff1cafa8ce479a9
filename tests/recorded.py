"""One run as GPX, TCX and FIT files, to be damaged in the same way in each."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.files import fit_time, gpx, tcx
from tests.samples import DeviceFile

BEGAN = datetime(2026, 5, 3, 7, 30, tzinfo=UTC)
SECONDS = 600

METRE = 1 / 111_319.49
"""In degrees of latitude."""


@dataclass(slots=True)
class Point:
    """What a device records each second. None is left out of the file."""

    at: datetime | None
    latitude: float | None
    longitude: float | None
    elevation_m: float | None
    distance_m: float | None
    heart_rate_bpm: int | None


def a_run(seconds: int = SECONDS) -> list[Point]:
    """Northwards through Ljubljana, at 3 m/s and 20 m up."""
    return [
        Point(
            BEGAN + timedelta(seconds=second),
            46 + 3 * second * METRE,
            14.5,
            300 + 20 * second / seconds,
            3.0 * second,
            120 + second % 40,
        )
        for second in range(seconds + 1)
    ]


def as_gpx(points: Sequence[Point]) -> bytes:
    return gpx(f"<trk><name>Run</name><type>9</type><trkseg>{''.join(map(_trkpt, points))}</trkseg></trk>")


def _trkpt(point: Point) -> str:
    place = f'lat="{point.latitude}" lon="{point.longitude}"'
    pulse = _tag("extensions", _tag("tpx:hr", point.heart_rate_bpm))
    return f"<trkpt {place}>{_tag('ele', point.elevation_m)}{_tag('time', _stamp(point.at))}{pulse}</trkpt>"


def as_tcx(points: Sequence[Point], **told: object) -> bytes:
    """With one lap. `told` are its elements; where there are none, those of a whole run."""
    lap = told or {"TotalTimeSeconds": SECONDS, "DistanceMeters": 3 * SECONDS, "Calories": 80}
    totals = "".join(_tag(name, value) for name, value in lap.items())
    track = f"<Track>{''.join(map(_trackpoint, points))}</Track>"
    return tcx(f'<Activity Sport="Running"><Lap StartTime="{_stamp(BEGAN)}">{totals}{track}</Lap></Activity>')


def as_bare_tcx(points: Sequence[Point]) -> bytes:
    """Of an app that writes no totals."""
    return as_tcx(points, Intensity="Active")


def _trackpoint(point: Point) -> str:
    place = _tag("LatitudeDegrees", point.latitude) + _tag("LongitudeDegrees", point.longitude)
    return (
        f"<Trackpoint>{_tag('Time', _stamp(point.at))}<Position>{place}</Position>"
        f"{_tag('AltitudeMeters', point.elevation_m)}{_tag('DistanceMeters', point.distance_m)}"
        f"<HeartRateBpm>{_tag('Value', point.heart_rate_bpm)}</HeartRateBpm></Trackpoint>"
    )


def as_fit(points: Sequence[Point], *, session: bool = True, sport: bool = True) -> bytes:
    """Without the `session`, as of a watch that died."""
    return fit_file(points, session=session, sport=sport).content()


def fit_file(points: Sequence[Point], *, session: bool = True, sport: bool = True) -> DeviceFile:
    file = DeviceFile()
    if sport:
        file.defined(7, 12, [(0, 1, 0x00), (1, 1, 0x00)])
        file.data(7, bytes([1, 0]))
    file.defined(
        1, 20, [(253, 4, 0x86), (0, 4, 0x85), (1, 4, 0x85), (2, 2, 0x84), (5, 4, 0x86), (3, 1, 0x02), (200, 2, 0x84)]
    )
    for point in points:
        file.data(1, _record(point))
    if session:
        file.session(
            start=BEGAN,
            timer_s=SECONDS,
            elapsed_s=SECONDS,
            distance_m=3 * SECONDS,
            ascent_m=20,
            average_hr=139,
            highest_hr=159,
        )
    return file


def _record(point: Point) -> bytes:
    return struct.pack(
        "<IiiHIBH",
        0xFFFFFFFF if point.at is None else max(0, fit_time(point.at)),
        0x7FFFFFFF if point.latitude is None else round(point.latitude * 2**31 / 180) & 0x7FFFFFFF,
        0x7FFFFFFF if point.longitude is None else round(point.longitude * 2**31 / 180),
        0xFFFF if point.elevation_m is None else round(point.elevation_m * 5) + 2_500,
        0xFFFFFFFF if point.distance_m is None else round(point.distance_m * 100) & 0xFFFFFFFF,
        0xFF if point.heart_rate_bpm is None else point.heart_rate_bpm,
        7,
    )


def _tag(name: str, value: object) -> str:
    return "" if value in (None, "") else f"<{name}>{value}</{name}>"


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")
