"""Whole recordings of our own making, with what devices and apps put beside the few things that the service reads.

The small files of `tests.files` show one thing each. These are as long and as mixed as real ones: points each second,
laps, fields unknown to every profile, both byte orders, several files in one.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import cos, sin

from tests.files import FitFile, fit_time, tcx

LJUBLJANA = (46.05, 14.51)
"""Degrees."""

SUNDAY = datetime(2026, 5, 3, 7, 30, tzinfo=UTC)
WINTER = datetime(2026, 1, 18, 9, 0, tzinfo=UTC)

Field = tuple[int, int, int]
"""A field's number, its size in bytes and its base type, as a definition has them."""

_TIMESTAMP: Field = (253, 4, 0x86)
_POSITION: list[Field] = [(0, 4, 0x85), (1, 4, 0x85)]  # in semicircles
_ALTITUDE: Field = (2, 2, 0x84)
_HEART_RATE: Field = (3, 1, 0x02)
_DISTANCE: Field = (5, 4, 0x86)
_SPEED: Field = (6, 2, 0x84)
_UNKNOWN: Field = (201, 3, 0x0D)
"""In no profile: a device's own."""


class DeviceFile(FitFile):
    """A FIT file that has, beside its sessions, what else a device writes."""

    def records(
        self,
        start: datetime,
        count: int,
        *,
        positions: bool = True,
        big_endian: bool = False,
        compressed: bool = False,
        developer: bool = False,
    ) -> "DeviceFile":
        """One each second. `compressed` times are five bits in the header; `developer` fields are an app's."""
        order = ">" if big_endian else "<"
        fields = [_ALTITUDE, _HEART_RATE, _DISTANCE, _SPEED, _UNKNOWN]
        fields += _POSITION if positions else []
        if developer:
            self.developer_data()
        self.defined(1, 20, [_TIMESTAMP, *fields], big_endian=big_endian, developer=developer)
        if compressed:
            self.defined(2, 20, fields, big_endian=big_endian, developer=developer)
        own = b"\x07" if developer else b""
        for second in range(count):
            time = fit_time(start) + second
            values = struct.pack(f"{order}HBIH3s", 2_500 + second % 50, 120 + second % 40, second * 300, 3_000, b"abc")
            values += struct.pack(f"{order}ii", *map(_semicircles, _place(second))) if positions else b""
            if compressed and second:
                self.data(0x80 | 2 << 5 | time & 0x1F, values + own)
            else:
                self.data(1, struct.pack(f"{order}I", time) + values + own)
        return self

    def lap(self, start: datetime, seconds: int) -> "DeviceFile":
        self.defined(3, 19, [_TIMESTAMP, (2, 4, 0x86), (7, 4, 0x86), (8, 4, 0x86)])
        return self.data(3, struct.pack("<4I", fit_time(start) + seconds, fit_time(start), *[seconds * 1000] * 2))

    def event(self, at: datetime) -> "DeviceFile":
        """The timer is started."""
        self.defined(4, 21, [_TIMESTAMP, (0, 1, 0x00), (1, 1, 0x00)])
        return self.data(4, struct.pack("<IBB", fit_time(at), 0, 0))

    def of_its_maker(self) -> "DeviceFile":
        """A message in no profile, and a known one of which nothing is known: all of its fields are invalid."""
        self.defined(5, 0xFF12, [(0, 8, 0x0D), (1, 2, 0x84)])
        self.data(5, b"whatever\xff\xff")
        self.defined(5, 23, [_TIMESTAMP, (2, 2, 0x84), (27, 4, 0x07)])
        return self.data(5, b"\xff" * 6 + b"\0" * 4)

    def developer_data(self) -> None:
        """An app of number 0, whose field 0 is one byte."""
        self.defined(6, 207, [(1, 16, 0x0D), (3, 1, 0x02)])
        self.data(6, bytes(range(16)) + b"\0")
        self.defined(6, 206, [(0, 1, 0x02), (1, 1, 0x02), (2, 1, 0x02), (3, 6, 0x07)])
        self.data(6, b"\0\0\x02power\0")

    def defined(
        self, local: int, number: int, fields: Sequence[Field], *, big_endian: bool = False, developer: bool = False
    ) -> None:
        """The definition of the message `number`, which is called `local` from here on."""
        order = ">" if big_endian else "<"
        self._body += struct.pack(f"{order}BBBHB", 0x40 | local | 0x20 * developer, 0, big_endian, number, len(fields))
        self._body += b"".join(bytes(field) for field in fields)
        if developer:
            self._body += bytes([1, 0, 1, 0])  # one field: number 0, one byte, of app 0

    def data(self, header: int, values: bytes) -> "DeviceFile":
        self._body += bytes([header]) + values
        return self


def _place(second: int) -> tuple[float, float]:
    """On a circle of 300 m or so, at 3 m/s."""
    angle = second * 3 / 300
    return LJUBLJANA[0] + 0.0027 * sin(angle), LJUBLJANA[1] + 0.0039 * cos(angle)


def _semicircles(degrees: float) -> int:
    return round(degrees * 2**31 / 180)


def a_run() -> bytes:
    file = DeviceFile().event(SUNDAY).records(SUNDAY, 600).lap(SUNDAY, 300).lap(SUNDAY + timedelta(minutes=5), 300)
    return file.of_its_maker().session(start=SUNDAY, timer_s=600, elapsed_s=600).clock(timedelta(hours=2)).content()


def an_indoor_ride() -> bytes:
    """On a trainer of the other byte order, without positions and with short times."""
    file = DeviceFile().records(WINTER, 900, positions=False, big_endian=True, compressed=True).sport("Cardio")
    return file.session("cycling", start=WINTER, timer_s=900, elapsed_s=930).clock(timedelta(hours=1)).content()


def indoor_rowing() -> bytes:
    """Of no distance, by a watch an hour behind the summer time of home."""
    file = DeviceFile().records(SUNDAY, 60, positions=False).lap(SUNDAY, 1710)
    file.session("fitness_equipment", "indoor_rowing", start=SUNDAY, timer_s=1710, elapsed_s=1710, distance_m=0)
    return file.clock(timedelta(hours=1)).content()


def a_virtual_ride() -> bytes:
    """Its timer ran longer than the ride took, it had no heart rate sensor, and its clock was never set."""
    file = DeviceFile().records(SUNDAY, 120, developer=True)
    file.session("cycling", "virtual_activity", start=SUNDAY, timer_s=1808, elapsed_s=1807, average_hr=0, highest_hr=0)
    return file.clock(None).content()


def a_triathlon() -> bytes:
    """Its five parts in one file."""
    file, start = DeviceFile(), SUNDAY
    for sport, seconds in (("swimming", 1980), ("transition", 168), ("cycling", 4422), ("transition", 60)):
        file.lap(start, seconds).session(sport, start=start, timer_s=seconds, elapsed_s=seconds)
        start += timedelta(seconds=seconds)
    file.records(start, 300).session(start=start, timer_s=2850, elapsed_s=2850)
    return file.clock(timedelta(hours=2)).content()


def settings_of_a_device() -> bytes:
    file = DeviceFile()
    file.defined(1, 3, [(4, 2, 0x84), (1, 1, 0x00)])  # its owner
    return file.data(1, struct.pack("<HB", 700, 1)).of_its_maker().content()


def two_walks() -> bytes:
    """In one GPX 1.0 file, with waypoints, and each of several segments."""
    days = (SUNDAY, SUNDAY + timedelta(days=1))
    walks = "".join(_walk(day, name) for day, name in zip(days, ("Tivoli", "Šmarna gora"), strict=True))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.0" creator="test" xmlns="http://www.topografix.com/GPX/1/0">
<time>2026-05-04T09:00:00Z</time>
<bounds minlat="46" minlon="14" maxlat="47" maxlon="15"/>
<wpt lat="46.1" lon="14.5"><ele>300</ele><name>001</name><sym>Flag, Blue</sym></wpt>
{walks}</gpx>""".encode()


def _walk(start: datetime, name: str) -> str:
    """Twenty minutes, a point every four seconds."""
    segments = []
    for first in range(0, 1200, 400):
        points = [_point(start, second) for second in range(first, first + 400, 4)]
        segments.append(f"<trkseg>{''.join(points)}</trkseg>")
    return f"<trk><name>{name}</name><number>1</number>{''.join(segments)}</trk>"


def _point(start: datetime, second: int) -> str:
    latitude, longitude = _place(second)
    time = (start + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
    place = f'<trkpt lat="{latitude:.7f}" lon="{longitude:.7f}"><ele>{300 + second % 60}</ele>'
    return f"{place}<time>{time}</time><sat>7</sat></trkpt>"


def under_a_second() -> bytes:
    """Local times with an offset and three decimals."""
    points = "".join(
        f'<trkpt lon="14.51" lat="46.0500{n}"><ele>23.5</ele><time>2026-05-03T09:30:{time}+02:00</time></trkpt>'
        for n, time in enumerate(("13.000", "13.994"))
    )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="test">
<trk><type>run</type><trkseg>{points}</trkseg></trk></gpx>""".encode()


def a_planned_route() -> bytes:
    """A track that nobody has walked yet: no point has a time."""
    points = "".join(f'<trkpt lat="{46 + n / 1000}" lon="14.5"><ele>{n}</ele></trkpt>' for n in range(50))
    return f"""<?xml version="1.0"?>
<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="test">
<trk><name>Plan</name><trkseg>{points}</trkseg></trk></gpx>""".encode()


def waypoints() -> bytes:
    names = "".join(f'<wpt lat="46" lon="14"><name>{name}</name></wpt>' for name in ("ŠČĆĐŽ", "跑步", "Łódź"))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="test">{names}</gpx>""".encode()


def stand_up_paddling() -> bytes:
    """Two laps with points and an extension, and what TCX says of the device."""
    laps = "".join(_paddled(SUNDAY + timedelta(seconds=start), seconds) for start, seconds in ((0, 800), (800, 310)))
    author = (
        '<Author xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:type="Application_t"><Name>A</Name></Author>'
    )
    whole = tcx(
        f'<Activity Sport="Other"><Id>{_tcx_time(SUNDAY)}</Id>{laps}<Creator><Name>W</Name></Creator></Activity>'
    )
    return whole.replace(b"</TrainingCenterDatabase>", f"{author}</TrainingCenterDatabase>".encode())


def _paddled(start: datetime, seconds: int) -> str:
    points = "".join(_trackpoint(start, second) for second in range(0, seconds, 10))
    return f"""<Lap StartTime="{_tcx_time(start)}"><TotalTimeSeconds>{seconds}.0</TotalTimeSeconds>
<DistanceMeters>{seconds * 1.2}</DistanceMeters><MaximumSpeed>1.4110000133514404</MaximumSpeed><Calories>80</Calories>
<AverageHeartRateBpm><Value>88</Value></AverageHeartRateBpm><MaximumHeartRateBpm><Value>108</Value></MaximumHeartRateBpm>
<Intensity>Active</Intensity><TriggerMethod>Manual</TriggerMethod><Track>{points}</Track></Lap>"""


def _trackpoint(start: datetime, second: int) -> str:
    latitude, longitude = _place(second)
    return f"""<Trackpoint><Time>{_tcx_time(start + timedelta(seconds=second))}</Time>
<Position><LatitudeDegrees>{latitude}</LatitudeDegrees><LongitudeDegrees>{longitude}</LongitudeDegrees></Position>
<AltitudeMeters>190.4</AltitudeMeters><DistanceMeters>{second * 1.2}</DistanceMeters>
<HeartRateBpm><Value>{80 + second % 20}</Value></HeartRateBpm>
<Extensions><TPX xmlns="http://www.garmin.com/xmlschemas/ActivityExtension/v2"><Speed>1.2</Speed></TPX></Extensions>
</Trackpoint>"""


def _tcx_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


SAMPLES: dict[str, Callable[[], bytes]] = {
    "run.fit": a_run,
    "indoor-ride.fit": an_indoor_ride,
    "indoor-rowing.fit": indoor_rowing,
    "virtual-ride.fit": a_virtual_ride,
    "triathlon.fit": a_triathlon,
    "two-in-one.fit": lambda: a_run() + a_triathlon(),
    "two-walks.gpx": two_walks,
    "under-a-second.gpx": under_a_second,
    "paddling.tcx": stand_up_paddling,
    "cut.fit": lambda: a_run()[:-700],
    "wrong-sum.fit": lambda: a_run()[:-1] + b"!",
    "settings.fit": settings_of_a_device,
    "planned.gpx": a_planned_route,
    "waypoints.gpx": waypoints,
    "readme.md": lambda: b"# What these files are\n\n| file | from |\n",
}
