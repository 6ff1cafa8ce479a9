"""FIT files, the format of most watches."""

import io
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from math import isfinite
from typing import Any

import fitdecode

from fitness.adapters.files import fit_records
from fitness.adapters.files.climb import climb_m
from fitness.adapters.files.fit_messages import FitPart, parts_of
from fitness.adapters.files.measures import heart_rate, heart_rates
from fitness.adapters.files.motion import steps_of, way_m
from fitness.adapters.files.places import zone_at
from fitness.adapters.files.points import MAX_SPAN_S, Points, sound
from fitness.adapters.files.remarks import Remarks, counted, impossible
from fitness.adapters.files.sports import sport_named
from fitness.adapters.files.tracks import is_indoor, recording_of
from fitness.domain.model.file_refusals import RecordingCorrupt, RecordingWithoutActivity, RecordingWithoutTimes
from fitness.domain.model.recordings import RecordedFile, Recording, refuse_too_many

# A FIT clock counts from 1989-12-31, so that a time before 1990 means that the clock was never set.
FIRST_REAL_DATE = datetime(1990, 1, 1, tzinfo=UTC)

ONE_EVENT_WITHIN = timedelta(hours=1)
"""The longest time from the end of a session to the start of the next one, in a triathlon with its transitions."""

_SEMICIRCLE_DEGREES = 180 / 2**31


def is_fit(content: bytes) -> bool:
    return content[8:12] == b".FIT"


def read_fit(content: bytes) -> RecordedFile:
    """A recording for each session; without sessions, one recording of all records.

    Raises RecordingCorrupt, RecordingWithoutActivity, RecordingWithoutTimes.
    """
    remarks = Remarks()
    parts, damage = parts_of(content)
    found: list[Recording] = []
    sessions, recovered = 0, False
    for part in parts:
        reading = _Part(content, part, remarks, sessions)
        recordings = reading.recordings()
        sessions += reading.sessions
        recovered = recovered or bool(recordings and (part.is_cut or reading.is_of_records))
        found += _as_events(recordings, len(found))
        refuse_too_many(found)
    if damage is not None and not found:
        raise RecordingCorrupt(damage)
    if not found and any(part.is_cut for part in parts):
        raise RecordingCorrupt("it ends too early")
    if not sessions and not found:
        raise RecordingWithoutActivity
    if not found:
        raise RecordingWithoutTimes
    if damage is not None:
        remarks.add("the file", f"left out a part that is damaged: {damage}")
    return RecordedFile(tuple(found), remarks.sentences(), recovered)


def _as_events(recordings: list[Recording], number: int) -> list[Recording]:
    """Number the events, from `number` on: recordings that follow each other within ONE_EVENT_WITHIN share one."""
    events: list[Recording] = []
    for recording in recordings:
        if events and recording.started_at - _end(events[-1]) > ONE_EVENT_WITHIN:
            number += 1
        events.append(replace(recording, event=number))
    return events


def _end(recording: Recording) -> datetime:
    return recording.started_at + timedelta(seconds=recording.elapsed_s or recording.duration_s)


@dataclass
class _Part:
    """Reads the recordings of one part."""

    content: bytes
    part: FitPart
    remarks: Remarks
    before: int
    """The number of sessions in earlier parts."""
    sessions: int = 0
    is_of_records: bool = False
    utc_offset: timedelta | None = None
    sport: tuple[Any, Any, str | None] = (None, None, None)
    """Sport, sub-sport and their name, from the `sport` message before the session."""
    found: list[Recording] = field(default_factory=list)

    def recordings(self) -> list[Recording]:
        try:
            self._read_messages()
        except fitdecode.FitError as error:
            if not self.part.is_cut:
                raise RecordingCorrupt("one of its messages makes no sense") from error
        if not self.found:
            self._recover()
        elif self.part.is_cut:
            self.remarks.add("the file", "it ends too early; its sessions are there")
        return [replace(recording, utc_offset=self.utc_offset) for recording in self.found]

    def _read_messages(self) -> None:
        with fitdecode.FitReader(
            io.BytesIO(self.part.telling),
            check_crc=fitdecode.CrcCheck.DISABLED,  # `parts_of` has checked the CRC of the whole file
            error_handling=fitdecode.ErrorHandling.IGNORE,  # newer devices' own fields, not damage
        ) as frames:
            for frame in frames:
                if frame.frame_type != fitdecode.FIT_FRAME_DATA:
                    continue
                if frame.name == "sport":
                    self.sport = _value(frame, "sport"), _value(frame, "sub_sport"), _text(frame, "name")
                elif frame.name == "session":
                    self._add_session(frame)
                elif frame.name == "activity":
                    self.utc_offset = _utc_offset(frame)

    def _add_session(self, session: Any) -> None:
        self.sessions += 1
        recording = self._recording(session)
        if recording is None:
            self.remarks.add(self._where, "left out, since it has no times")
        else:
            self.found.append(recording)
            refuse_too_many(self.found)
            self.sport = (None, None, None)

    @property
    def _where(self) -> str:
        return f"session {self.before + self.sessions}"

    def _recover(self) -> None:
        """Make one recording of all records."""
        if fit_records.TIMESTAMP not in self.part.record_fields:
            return
        *names, title = self.sport
        recording = recording_of(self.points, sport_named(*names), title=title)
        if recording is not None and recording.started_at >= FIRST_REAL_DATE:
            self.found.append(recording)
            self.is_of_records = True
            self.remarks.add("the file", f"it has no usable session; this is made of its {len(self.points)} records")

    @cached_property
    def points(self) -> Points:
        points, untimed = fit_records.points_of(self.content, self.part)
        self.remarks.add("records", counted(untimed, "point", "without a time"))
        return sound(points, self.remarks, "records")

    def _recording(self, session: Any) -> Recording | None:
        """None for a session without a start or a duration."""
        started_at = _moment(session, "start_time")
        timer_s, elapsed_s = self._times(session, started_at)
        if started_at is None or timer_s is None:
            return None
        sport_name = _value(session, "sport")
        sport = sport_named(sport_name, _value(session, "sub_sport"))
        calories = _number(session, "total_calories")
        place = self._place(session)
        recording = Recording(
            activity_type=sport.activity_type,
            started_at=started_at,
            utc_offset=None,
            duration_s=timer_s,
            elapsed_s=elapsed_s,
            title="Transition" if sport_name == "transition" else self.sport[2],
            distance_m=_number(session, "total_distance"),
            elevation_gain_m=_number(session, "total_ascent"),
            calories_kcal=None if calories is None else round(calories),
            average_heart_rate_bpm=heart_rate(_number(session, "avg_heart_rate")),
            max_heart_rate_bpm=heart_rate(_number(session, "max_heart_rate")),
            is_indoor=is_indoor(sport, place),
            place_zone=None if sport.indoor else zone_at(place),
        )
        return self._completed(recording)

    def _times(self, session: Any, started_at: datetime | None) -> tuple[float | None, float | None]:
        """Timer and elapsed time, in seconds. If one is missing or absurd, the other one replaces it."""
        timer_s, elapsed_s = _number(session, "total_timer_time"), _number(session, "total_elapsed_time")
        ended_at = _moment(session, "timestamp")
        for name, value in (("timer", timer_s), ("elapsed time", elapsed_s)):
            if value is not None and value > MAX_SPAN_S:
                self.remarks.add(self._where, impossible(name, value, "s"))
        spans = [timer_s, elapsed_s, (ended_at - started_at).total_seconds() if ended_at and started_at else None]
        timer, elapsed, whole = (span if span and 0 < span <= MAX_SPAN_S else None for span in spans)
        known = timer or elapsed or whole
        return known or timer_s or elapsed_s or None, max(elapsed or whole or known, known) if known else None

    def _place(self, session: Any) -> tuple[float, float] | None:
        latitude, longitude = _number(session, "start_position_lat"), _number(session, "start_position_long")
        if latitude is not None and longitude is not None:
            points = Points()
            points.add(0.0, latitude * _SEMICIRCLE_DEGREES, longitude * _SEMICIRCLE_DEGREES)
            if (place := points.first_place()) is not None:
                return place
        return self.first_place

    @cached_property
    def first_place(self) -> tuple[float, float] | None:
        return fit_records.first_place(self.content, self.part) if self._has_records_of(fit_records.LATITUDE) else None

    def _has_records_of(self, *numbers: int) -> bool:
        return not self.part.record_fields.isdisjoint(numbers)

    def _completed(self, recording: Recording) -> Recording:
        """The recording with the values that the session lacks, computed from the records."""
        if recording.distance_m is None and self._has_records_of(fit_records.DISTANCE, fit_records.LATITUDE):
            points = self._points_in(recording)
            recording = replace(recording, distance_m=way_m(points, steps_of(points)))
        if recording.elevation_gain_m is None and self._has_records_of(
            fit_records.ALTITUDE, fit_records.ENHANCED_ALTITUDE
        ):
            recording = replace(recording, elevation_gain_m=climb_m(self._points_in(recording)))
        average, highest = recording.average_heart_rate_bpm, recording.max_heart_rate_bpm
        if (average is None or highest is None) and self._has_records_of(fit_records.HEART_RATE):
            rates = [bpm for bpm in self._points_in(recording).heart_rates_bpm if bpm == bpm]
            average_in_records, highest_in_records = heart_rates(rates)
            recording = replace(
                recording,
                average_heart_rate_bpm=average or average_in_records,
                max_heart_rate_bpm=highest or highest_in_records,
            )
        return recording

    def _points_in(self, recording: Recording) -> Points:
        return self.points.between(recording.started_at.timestamp(), _end(recording).timestamp())


def _value(message: Any, field: str) -> Any:
    return message.get_value(field, fallback=None)


def _number(message: Any, field: str) -> float | None:
    """None also if the file has a text, an array or a NaN in place of the number."""
    value = _value(message, field)
    return value if isinstance(value, int | float) and isfinite(value) else None


def _text(message: Any, field: str) -> str | None:
    value = _value(message, field)
    return value if isinstance(value, str) else None


def _moment(message: Any, field: str) -> datetime | None:
    value = _value(message, field)
    return value if isinstance(value, datetime) and value >= FIRST_REAL_DATE else None


def _utc_offset(activity: Any) -> timedelta | None:
    """The offset of the watch's own clock from UTC, in whole quarters of an hour like all zones; None if unknown."""
    utc, local = _moment(activity, "timestamp"), _moment(activity, "local_timestamp")
    if utc is None or local is None:
        return None
    quarter = timedelta(minutes=15)
    offset = round((local - utc) / quarter) * quarter
    return offset if timedelta(hours=-12) <= offset <= timedelta(hours=14) else None
