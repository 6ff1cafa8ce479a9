"""What a recorded file says of an activity, whatever the device and format."""

import hashlib
import zlib
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from datetime import datetime, timedelta

from fitness.domain.model.activities import EARLIEST, TITLE, ActivityType, NewActivity, checked
from fitness.domain.model.refusals import (
    RecordingCorrupt,
    RecordingEmpty,
    RecordingTooLarge,
    RecordingTooManyActivities,
)
from fitness.domain.model.time_zones import zone_with_offset

MAX_RECORDING_BYTES = 25_000_000
MAX_ACTIVITIES = 50
"""In one file."""

MAX_GZIP_MEMBERS = 10_000
"""What packs a file in blocks makes some hundreds of them of 25 MB. Each one costs time, also an empty one."""

_INFLATED_AT_ONCE_BYTES = 16 * 1024
"""Where a member ends within these, zlib copies the rest of them: so few that many small members cost little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One session of a recorded file. None is unknown, 0 is measured."""

    activity_type: ActivityType
    started_at: datetime
    """Aware."""
    utc_offset: timedelta | None
    """How far the device's clock stood from UTC, where the file says so."""
    duration_s: float
    """Time in motion: the device's timer where it kept one, else as told from the track."""
    elapsed_s: float | None = None
    """From the start to the end, pauses included."""
    title: str | None = None
    distance_m: float | None = None
    elevation_gain_m: float | None = None
    calories_kcal: int | None = None
    average_heart_rate_bpm: int | None = None
    max_heart_rate_bpm: int | None = None
    is_indoor: bool | None = None
    place_zone: str | None = None
    """The IANA time zone of where it began."""
    event: int | None = None
    """A number that the parts of one event in the file share, as those of a triathlon do."""


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """What a file was found to hold."""

    recordings: tuple[Recording, ...]
    """In the file's order."""
    warnings: tuple[str, ...] = ()
    """What was left out, and where: sentences for the person whose file it is."""
    recovered: bool = False
    """Some of it was made of the points of a file that is damaged or was never finished."""


@dataclass(frozen=True, slots=True)
class ReadRecording:
    """The checked activities that a file makes, and what was left out of them."""

    activities: tuple[NewActivity, ...]
    """In the file's order."""
    warnings: tuple[str, ...] = ()
    """As in RecordedFile."""
    groups: tuple[tuple[int, ...], ...] = ()
    """Positions in `activities` of the parts of each event, two or more; no position is in two groups."""
    recovered: bool = False
    """As in RecordedFile."""


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


def activities_of(file: RecordedFile, *, digest: str, home_timezone: str, now: datetime) -> ReadRecording:
    """The checked activities that a file makes. Their origins are its digest, so that they are known again.

    Raises InvalidFields where the device recorded impossible values.
    """
    refuse_too_many(file.recordings)
    origins = (digest if number == 1 else f"{digest}#{number}" for number in range(1, len(file.recordings) + 1))
    activities = tuple(
        checked(imported(recording, home_timezone=home_timezone, external_id=origin), now=now)
        for recording, origin in zip(file.recordings, origins, strict=True)
    )
    return ReadRecording(activities, file.warnings, _groups(file.recordings), file.recovered)


def _groups(recordings: Sequence[Recording]) -> tuple[tuple[int, ...], ...]:
    positions: dict[int, list[int]] = {}
    for position, recording in enumerate(recordings):
        if recording.event is not None:
            positions.setdefault(recording.event, []).append(position)
    return tuple(tuple(group) for group in positions.values() if len(group) > 1)


def refuse_too_many(found: Sized) -> None:
    """Raises RecordingTooManyActivities; call it with each one found, so that no more are looked for."""
    if len(found) > MAX_ACTIVITIES:
        raise RecordingTooManyActivities(MAX_ACTIVITIES)


def digest_of(content: bytes) -> str:
    """Of an unpacked file."""
    return hashlib.sha256(content).hexdigest()


def unpacked(data: bytes) -> bytes:
    """The file itself, without any gzip around it. Raises RecordingEmpty, RecordingTooLarge, RecordingCorrupt."""
    content = b"".join(_gunzipped(data)) if data.startswith(b"\x1f\x8b") else data
    if len(content) > MAX_RECORDING_BYTES:
        raise RecordingTooLarge(MAX_RECORDING_BYTES)
    if not content.strip(b"\0 \t\r\n"):
        raise RecordingEmpty
    return content


def _gunzipped(data: bytes) -> Iterator[bytes]:
    """In one pass over the data. Files may be joined end to end, with zeros after the last one.

    Ends with RecordingTooLarge as soon as there is too much: a small file may unpack to gigabytes.
    """
    left = MAX_RECORDING_BYTES
    at, members = 0, 0
    while at < len(data) and (data[at] or data.count(0, at) < len(data) - at):
        members += 1
        if members > MAX_GZIP_MEMBERS:
            raise RecordingCorrupt(f"its gzip wrapping is made of more than {MAX_GZIP_MEMBERS} parts")
        inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        while not inflate.eof:
            packed = data[at : at + _INFLATED_AT_ONCE_BYTES]
            if not packed:
                raise RecordingCorrupt("its gzip wrapping ends too early")
            try:
                content = inflate.decompress(packed, left + 1)
            except zlib.error as error:
                raise RecordingCorrupt("its gzip wrapping does not unpack") from error
            at += len(packed) - len(inflate.unused_data) - len(inflate.unconsumed_tail)
            left -= len(content)
            if left < 0:
                raise RecordingTooLarge(MAX_RECORDING_BYTES)
            yield content
