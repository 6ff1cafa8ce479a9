"""What a recorded file says of an activity, whatever the device and format."""

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from fitness.domain.model.activities import EARLIEST, TITLE, ActivityType, NewActivity
from fitness.domain.model.refusals import RecordingCorrupt, RecordingEmpty, RecordingTooLarge
from fitness.domain.model.time_zones import zone_with_offset

MAX_RECORDING_BYTES = 25_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One session of a recorded file. None is unknown, 0 is measured."""

    activity_type: ActivityType
    started_at: datetime
    """Aware."""
    utc_offset: timedelta | None
    """How far the device's clock stood from UTC, where the file says so."""
    duration_s: float
    """Timer time where the device kept one, else from the first point to the last."""
    title: str | None = None
    distance_m: float | None = None
    elevation_gain_m: float | None = None
    calories_kcal: int | None = None
    average_heart_rate_bpm: int | None = None
    max_heart_rate_bpm: int | None = None


def imported(recording: Recording, *, home_timezone: str, external_id: str) -> NewActivity:
    """The activity a recording makes: in the file's own offset, else at home."""
    zone = None
    if recording.utc_offset is not None and recording.started_at >= EARLIEST:
        zone = zone_with_offset(recording.utc_offset, at=recording.started_at, preferred=home_timezone)
    distance_m = recording.distance_m
    return NewActivity(
        activity_type=recording.activity_type,
        activity_date=recording.started_at,
        timezone=zone or home_timezone,
        duration_minutes=recording.duration_s / 60,
        title=TITLE.cleaned(recording.title) if recording.title else None,
        distance_km=None if distance_m is None else distance_m / 1000,
        elevation_gain_m=recording.elevation_gain_m,
        calories_kcal=recording.calories_kcal,
        average_heart_rate_bpm=recording.average_heart_rate_bpm,
        max_heart_rate_bpm=_credible_maximum(recording),
        source="import",
        external_id=external_id,
    )


def _credible_maximum(recording: Recording) -> int | None:
    """None where the device says that the average was higher."""
    average, highest = recording.average_heart_rate_bpm, recording.max_heart_rate_bpm
    return None if average is not None and highest is not None and highest < average else highest


def unpacked(data: bytes) -> bytes:
    """The file itself, without any gzip around it. Raises RecordingEmpty, RecordingTooLarge, RecordingCorrupt."""
    content = _gunzipped(data) if data.startswith(b"\x1f\x8b") else data
    if len(content) > MAX_RECORDING_BYTES:
        raise RecordingTooLarge(MAX_RECORDING_BYTES)
    if not content.strip(b"\0 \t\r\n"):
        raise RecordingEmpty
    return content


def _gunzipped(data: bytes) -> bytes:
    """At most a byte more than is allowed: a small file may unpack to gigabytes. Files may be joined end to end."""
    content = b""
    while data.strip(b"\0") and len(content) <= MAX_RECORDING_BYTES:
        inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            content += inflate.decompress(data, MAX_RECORDING_BYTES + 1 - len(content))
        except zlib.error as error:
            raise RecordingCorrupt("its gzip wrapping does not unpack") from error
        if not inflate.eof and len(content) <= MAX_RECORDING_BYTES:
            raise RecordingCorrupt("its gzip wrapping ends too early")
        data = inflate.unused_data
    return content
