"""GPX files, the format of most apps and hand-held receivers."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import isfinite

import gpxpy
from defusedxml import ElementTree
from gpxpy.gpx import GPXException, GPXTrack

from fitness.adapters.files.measures import heart_rates
from fitness.adapters.files.sports import activity_type
from fitness.domain.model.recordings import Recording
from fitness.domain.model.refusals import RecordingCorrupt, RecordingWithoutActivity, RecordingWithoutTimes

_DECLARED_ENCODING = re.compile(rb"""\s*<\?xml[^>]*?\sencoding=["']([A-Za-z0-9._-]+)["']""")


def read_gpx(content: bytes) -> list[Recording]:
    """A recording for each timed track. Raises RecordingCorrupt, RecordingWithoutActivity, RecordingWithoutTimes."""
    ElementTree.fromstring(content)  # refuses what gpxpy's own parser would let blow up
    try:
        tracks = gpxpy.parse(_text(content)).tracks
    except GPXException as error:
        raise RecordingCorrupt(str(error)) from error
    walked = [track for track in tracks if track.get_points_no() > 1]
    if not walked:
        raise RecordingWithoutActivity
    recordings = [recording for track in walked if (recording := _recording(track)) is not None]
    if not recordings:
        raise RecordingWithoutTimes
    return recordings


def _text(content: bytes) -> str:
    """In the encoding that the file declares; gpxpy takes all bytes for UTF-8."""
    declared = _DECLARED_ENCODING.match(content)
    try:
        return content.decode(declared[1].decode() if declared else "utf-8-sig")
    except (LookupError, UnicodeError) as error:
        raise RecordingCorrupt("it is not in the encoding that it declares") from error


def _recording(track: GPXTrack) -> Recording | None:
    """None where the first and the last point have no times, or times that give no duration."""
    points = [point for segment in track.segments for point in segment.points]
    first, last = points[0].time, points[-1].time
    if first is None or last is None or _utc(last) <= _utc(first):
        return None
    average, highest = heart_rates([*_heart_rates(track)])
    climb_m = track.get_uphill_downhill().uphill if any(point.elevation is not None for point in points) else None
    distance_m = track.length_2d()
    return Recording(
        activity_type=activity_type(track.type),
        started_at=_utc(first),
        utc_offset=_stated_offset(first),
        duration_s=(_utc(last) - _utc(first)).total_seconds(),
        title=track.name,
        distance_m=distance_m if isfinite(distance_m) else None,
        elevation_gain_m=climb_m if climb_m is not None and isfinite(climb_m) else None,
        average_heart_rate_bpm=average,
        max_heart_rate_bpm=highest,
    )


def _utc(moment: datetime) -> datetime:
    """GPX times without an offset are in UTC."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _stated_offset(moment: datetime) -> timedelta | None:
    """None for UTC, which is what devices write that do not know where they are."""
    return moment.utcoffset() or None


def _heart_rates(track: GPXTrack) -> Iterator[float]:
    for segment in track.segments:
        for point in segment.points:
            for extension in point.extensions:
                for element in extension.iter():
                    if str(element.tag).endswith("}hr") and (element.text or "").strip().isdecimal():
                        yield float(element.text or 0)
