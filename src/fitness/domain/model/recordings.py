"""What a recorded file says about an activity, whatever the device and format."""

import hashlib
import zlib
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from fitness.domain.model.activities import TITLE, ActivityType, NewActivity, checked
from fitness.domain.model.fields import Number, rules_of
from fitness.domain.model.file_refusals import (
    RecordingCorrupt,
    RecordingEmpty,
    RecordingTooLarge,
    RecordingTooManyActivities,
)
from fitness.domain.model.refusals import InvalidFields
from fitness.domain.model.time_zones import zone_of_recording

MAX_RECORDING_BYTES = 25_000_000
MAX_ACTIVITIES = 50
"""The most activities in one file."""

MAX_GZIP_MEMBERS = 10_000
"""Programs that pack a file in blocks make some hundreds of members of 25 MB. Each member costs time, even if empty."""

_OPTIONAL = {name: rule for name, rule in rules_of(NewActivity, Number).items() if name != "duration_minutes"}

MAX_SPEED_M_S = 100.0
"""No sport is faster; a receiver that has lost its satellites records such speeds."""
MAX_CLIMB_M_S = 10.0
"""No cable car is faster."""

_MOST_A_MINUTE = {
    "distance_km": MAX_SPEED_M_S * 60 / 1000,
    "elevation_gain_m": MAX_CLIMB_M_S * 60,
    "calories_kcal": 200.0,  # six times the best athletes'
}

_INFLATED_AT_ONCE_BYTES = 16 * 1024
"""Bytes given to zlib at a time. When a member ends within them, zlib copies the rest: with so few bytes, even many
small members cost little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One session of a recorded file. None is unknown, 0 is measured."""

    activity_type: ActivityType
    started_at: datetime
    """The start, as an aware time."""
    utc_offset: timedelta | None
    """The offset of the device's clock from UTC; None if the file does not say it."""
    duration_s: float
    """Time in motion: from the device's timer if there was one, else from the track."""
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
    """The IANA time zone of the place where it began."""
    event: int | None = None
    """A number that the parts of one event in the file share, as those of a triathlon do."""


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """The content of a file."""

    recordings: tuple[Recording, ...]
    """The recordings in the file's order."""
    warnings: tuple[str, ...] = ()
    """What was left out, and where: sentences for the file's owner."""
    recovered: bool = False
    """Whether some of it was made of the points of a file that is damaged or was never finished."""


@dataclass(frozen=True, slots=True)
class ReadRecording:
    """The checked activities that a file makes, and what was left out of them."""

    activities: tuple[NewActivity, ...]
    """The activities in the file's order."""
    warnings: tuple[str, ...] = ()
    """As in RecordedFile."""
    groups: tuple[tuple[int, ...], ...] = ()
    """Positions in `activities` of the parts of each event, two or more; no position is in two groups."""
    recovered: bool = False
    """As in RecordedFile."""


def imported(recording: Recording, *, home_timezone: str, external_id: str) -> NewActivity:
    """The activity that a recording makes, still to be checked."""
    elapsed_s = max(recording.elapsed_s or recording.duration_s, recording.duration_s)
    zone = zone_of_recording(
        recording.started_at,
        _ended_at(recording.started_at, elapsed_s),
        utc_offset=recording.utc_offset,
        place_zone=recording.place_zone,
        home=home_timezone,
    )
    distance_m = recording.distance_m
    return NewActivity(
        activity_type=recording.activity_type,
        activity_date=recording.started_at,
        timezone=zone,
        duration_minutes=recording.duration_s / 60,
        elapsed_minutes=elapsed_s / 60,
        title=TITLE.cleaned(recording.title) if recording.title else None,
        distance_km=None if distance_m is None else distance_m / 1000,
        elevation_gain_m=recording.elevation_gain_m,
        calories_kcal=recording.calories_kcal,
        average_heart_rate_bpm=recording.average_heart_rate_bpm,
        max_heart_rate_bpm=_credible_maximum(recording),
        is_indoor=recording.is_indoor,
        source="import",
        external_id=external_id,
    )


def _ended_at(started_at: datetime, elapsed_s: float) -> datetime:
    """The end; the start itself if the end is beyond the calendar."""
    try:
        return started_at + timedelta(seconds=elapsed_s)
    except OverflowError:
        return started_at


def _credible_maximum(recording: Recording) -> int | None:
    """The highest heart rate; None if the device says that the average was higher."""
    average, highest = recording.average_heart_rate_bpm, recording.max_heart_rate_bpm
    return None if average is not None and highest is not None and highest < average else highest


def activities_of(file: RecordedFile, *, digest: str, home_timezone: str, now: datetime) -> ReadRecording:
    """The checked activities that a file makes. Their external ids hold its digest, so that the file is known again.

    Impossible values are left out, and so are recordings of impossible times; both with a warning. Raises InvalidFields
    if no recording is left.
    """
    refuse_too_many(file.recordings)
    activities: list[NewActivity] = []
    kept: list[Recording] = []
    warnings = [*file.warnings]
    refusals: list[InvalidFields] = []
    for number, recording in enumerate(file.recordings, start=1):
        origin = f"{digest}#{len(kept) + 1}" if kept else digest
        new, impossible = _credible(imported(recording, home_timezone=home_timezone, external_id=origin))
        warnings += (f"activity {number}: {what}" for what in impossible)
        try:
            activities.append(checked(new, now=now))
            kept.append(recording)
        except InvalidFields as refusal:
            refusals.append(refusal)
            warnings.append(f"activity {number}: left out, {refusal}")
    if not activities and refusals:
        raise refusals[0]
    return ReadRecording(tuple(activities), tuple(warnings), _groups(kept), file.recovered)


def _credible(new: NewActivity) -> tuple[NewActivity, list[str]]:
    """The activity without its impossible optional values, and a sentence about each value that was left out."""
    absurd = {name: value for name, rule in _OPTIONAL.items() if (value := _number(new, name)) and rule.problem(value)}
    minutes = new.elapsed_minutes or new.duration_minutes
    for name, most_a_minute in _MOST_A_MINUTE.items():
        value = _number(new, name)
        if value is not None and value > most_a_minute * (minutes + 1):
            absurd[name] = value
    said = [f"left out {name}, since {value:g} is impossible" for name, value in absurd.items()]
    nothing: dict[str, Any] = dict.fromkeys(absurd)
    return replace(new, **nothing), said


def _number(new: NewActivity, name: str) -> float | None:
    value: float | None = getattr(new, name)
    return value


def _groups(recordings: Sequence[Recording]) -> tuple[tuple[int, ...], ...]:
    positions: dict[int, list[int]] = {}
    for position, recording in enumerate(recordings):
        if recording.event is not None:
            positions.setdefault(recording.event, []).append(position)
    return tuple(tuple(group) for group in positions.values() if len(group) > 1)


def refuse_too_many(found: Sized) -> None:
    """Raises RecordingTooManyActivities; call it after each activity found, so that the search ends at once."""
    if len(found) > MAX_ACTIVITIES:
        raise RecordingTooManyActivities(MAX_ACTIVITIES)


def digest_of(content: bytes) -> str:
    """The SHA-256 of an unpacked file, in hexadecimal digits."""
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
    """The unpacked content, in one pass over the data. Gzip files may be joined end to end, with zeros after the last.

    Raises RecordingTooLarge as soon as there is too much content: a small file may unpack to gigabytes.
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
