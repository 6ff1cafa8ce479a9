"""TCX files, Garmin's older format."""

from datetime import UTC, datetime
from typing import Any

import gpxpy.geo
from defusedxml import ElementTree

from fitness.adapters.files.measures import heart_rate, heart_rates
from fitness.adapters.files.sports import activity_type
from fitness.domain.model.recordings import Recording
from fitness.domain.model.refusals import RecordingWithoutActivity, RecordingWithoutTimes


def read_tcx(content: bytes) -> list[Recording]:
    """A recording for each activity, made of its laps. Raises RecordingWithoutActivity, RecordingWithoutTimes."""
    found = ElementTree.fromstring(content).findall(".//{*}Activity")
    sessions = [_recording(activity, laps) for activity in found if (laps := activity.findall("{*}Lap"))]
    if not sessions:
        raise RecordingWithoutActivity
    recordings = [recording for recording in sessions if recording is not None]
    if not recordings:
        raise RecordingWithoutTimes
    return recordings


def _recording(activity: Any, laps: list[Any]) -> Recording | None:
    """None for an activity without a start or a duration."""
    starts = [moment for lap in laps if (moment := _moment(lap.get("StartTime"))) is not None]
    duration_s = sum(_number(lap, "TotalTimeSeconds") or 0 for lap in laps)
    if not starts or duration_s <= 0:
        return None
    elevations = [_number(point, "AltitudeMeters") for point in activity.findall(".//{*}Trackpoint")]
    known = [elevation for elevation in elevations if elevation is not None]
    calories = _total(laps, "Calories")
    average, highest = _heart_rates(laps)
    return Recording(
        activity_type=activity_type(activity.get("Sport")),
        started_at=min(starts).astimezone(UTC),
        utc_offset=min(starts).utcoffset() or None,  # UTC says nothing of where it was
        duration_s=duration_s,
        distance_m=_total(laps, "DistanceMeters"),
        elevation_gain_m=gpxpy.geo.calculate_uphill_downhill([*known])[0] if known else None,
        calories_kcal=None if calories is None else round(calories),
        average_heart_rate_bpm=average,
        max_heart_rate_bpm=highest,
    )


def _heart_rates(laps: list[Any]) -> tuple[int | None, int | None]:
    """The laps' averages weighted by their time, and the highest of their maxima."""
    weighted = [
        (bpm, _number(lap, "TotalTimeSeconds") or 0)
        for lap in laps
        if (bpm := _number(lap, "AverageHeartRateBpm/{*}Value")) is not None and heart_rate(bpm) is not None
    ]
    total_s = sum(duration_s for _, duration_s in weighted)
    average = sum(bpm * duration_s for bpm, duration_s in weighted) / total_s if total_s else None
    maxima = [bpm for lap in laps if (bpm := _number(lap, "MaximumHeartRateBpm/{*}Value")) is not None]
    return heart_rate(average), heart_rates(maxima)[1]


def _number(element: Any, path: str) -> float | None:
    text = element.findtext("{*}" + path)
    return float(text) if text and text.strip() else None


def _total(laps: list[Any], path: str) -> float | None:
    known = [number for lap in laps if (number := _number(lap, path)) is not None]
    return sum(known) if known else None


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
