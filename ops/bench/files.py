"""Recorded files of any size, as devices write them: a point each second, with the usual extra fields."""

import struct
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from math import cos, sin

from fitness.adapters.files.fit_messages import fit_file

BEGAN = datetime(2026, 5, 3, 7, 30, tzinfo=UTC)
FIT_EPOCH = datetime(1989, 12, 31, tzinfo=UTC)


def place(second: int) -> tuple[float, float]:
    return 46.05 + 0.0027 * sin(second / 100), 14.51 + 0.0039 * cos(second / 100)


def elevation_m(second: int) -> float:
    return 300 + 40 * sin(second / 300) + second % 7 / 10


def stamp(second: int) -> str:
    return (BEGAN + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def gpx_of_a_watch(points: int) -> bytes:
    return _gpx(
        f"""   <trkpt lat="{place(second)[0]:.7f}" lon="{place(second)[1]:.7f}">
    <ele>{elevation_m(second):.1f}</ele>
    <time>{stamp(second)}</time>
    <extensions>
     <tpx:TrackPointExtension>
      <tpx:atemp>21</tpx:atemp>
      <tpx:hr>{120 + second % 40}</tpx:hr>
      <tpx:cad>80</tpx:cad>
     </tpx:TrackPointExtension>
    </extensions>
   </trkpt>
"""
        for second in range(points)
    )


def gpx_without_blanks(points: int) -> bytes:
    """The fewest bytes a point, so these files have the most points for their size."""
    return _gpx(
        f'<trkpt lat="{place(second)[0]:.6f}" lon="{place(second)[1]:.6f}"><ele>{elevation_m(second):.1f}</ele>'
        f"<time>{stamp(second)}</time></trkpt>"
        for second in range(points)
    )


def _gpx(points: Iterable[str]) -> bytes:
    spaces = (
        'xmlns="http://www.topografix.com/GPX/1/1" xmlns:tpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v1"'
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" creator="bench" {spaces}><trk><name>Run</name><type>9</type><trkseg>
{"".join(points)}</trkseg></trk></gpx>""".encode()


def tcx_of_a_watch(points: int) -> bytes:
    track = "".join(
        f"""          <Trackpoint>
            <Time>{stamp(second)}</Time>
            <Position>
              <LatitudeDegrees>{place(second)[0]:.12f}</LatitudeDegrees>
              <LongitudeDegrees>{place(second)[1]:.12f}</LongitudeDegrees>
            </Position>
            <AltitudeMeters>{elevation_m(second):.10f}</AltitudeMeters>
            <DistanceMeters>{3.0 * second:.10f}</DistanceMeters>
            <HeartRateBpm>
              <Value>{120 + second % 40}</Value>
            </HeartRateBpm>
            <Extensions>
              <x:TPX>
                <x:Speed>3.0</x:Speed>
                <x:RunCadence>80</x:RunCadence>
              </x:TPX>
            </Extensions>
          </Trackpoint>
"""
        for second in range(points)
    )
    spaces = (
        'xmlns="http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2" '
        'xmlns:x="http://www.garmin.com/xmlschemas/ActivityExtension/v2"'
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<TrainingCenterDatabase {spaces}><Activities><Activity Sport="Running"><Id>{stamp(0)}</Id>
<Lap StartTime="{stamp(0)}"><TotalTimeSeconds>{points}</TotalTimeSeconds><DistanceMeters>{3 * points}</DistanceMeters>
<Calories>80</Calories><Track>
{track}</Track></Lap></Activity></Activities></TrainingCenterDatabase>""".encode()


def fit_of_a_watch(points: int) -> bytes:
    """Records of some forty bytes, and a session with every field that the reader uses."""
    return fit_file(0x20, 2132, _records(points) + _session(points))


def fit_without_a_session(points: int) -> bytes:
    return fit_file(0x20, 2132, _records(points))


def _records(points: int) -> bytes:
    fields = [
        (253, 4, 0x86), (0, 4, 0x85), (1, 4, 0x85), (5, 4, 0x86), (73, 4, 0x86), (78, 4, 0x86), (87, 2, 0x84),
        (108, 2, 0x84), (3, 1, 0x02), (4, 1, 0x02), (13, 1, 0x01), (53, 1, 0x02), (107, 1, 0x02), (134, 2, 0x84),
        (135, 2, 0x84),
    ]  # fmt: skip
    pack = struct.Struct("<BIiiIIIHHBBbBBHH").pack
    began = _fit_time(0)
    records = (
        pack(
            0, began + second, *map(_semicircles, place(second)), 300 * second, 3_000,
            round(elevation_m(second) * 5) + 2_500, 900, 16, 120 + second % 40, 80, 21, 0, 1, 77, 66,
        )
        for second in range(points)
    )  # fmt: skip
    return _definition(0, 20, fields) + b"".join(records)


def _session(points: int) -> bytes:
    fields = [
        (253, 4, 0x86), (2, 4, 0x86), (3, 4, 0x85), (4, 4, 0x85), (7, 4, 0x86), (8, 4, 0x86), (9, 4, 0x86),
        (11, 2, 0x84), (22, 2, 0x84), (5, 1, 0x00), (6, 1, 0x00), (16, 1, 0x02), (17, 1, 0x02),
    ]  # fmt: skip
    values = struct.pack(
        "<BIIiiIIIHHBBBB", 1, _fit_time(points), _fit_time(0), *map(_semicircles, place(0)), points * 1000,
        points * 1000, points * 300, 500, 42, 1, 0, 139, 159,
    )  # fmt: skip
    return _definition(1, 18, fields) + values


def _definition(local: int, number: int, fields: list[tuple[int, int, int]]) -> bytes:
    return struct.pack("<BBBHB", 0x40 | local, 0, 0, number, len(fields)) + b"".join(map(bytes, fields))


def _fit_time(second: int) -> int:
    return int((BEGAN - FIT_EPOCH).total_seconds()) + second


def _semicircles(degrees: float) -> int:
    return round(degrees * 2**31 / 180)


def of_size(make: Callable[[int], bytes], size: int) -> bytes:
    """A file of about `size` bytes, never more."""
    few, more = len(make(1_000)), len(make(2_000))
    return make(1_000 + (size - few) * 1_000 // (more - few) * 99 // 100)
