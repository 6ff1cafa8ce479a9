"""FIT files, the format of most watches."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

import fitdecode

from fitness.adapters.files.fit_messages import telling_messages
from fitness.adapters.files.measures import heart_rate
from fitness.adapters.files.sports import activity_type
from fitness.domain.model.recordings import Recording, refuse_too_many
from fitness.domain.model.refusals import RecordingCorrupt, RecordingWithoutActivity, RecordingWithoutTimes

# A FIT clock counts from here, so that the epoch itself means that it was never set.
FIRST_REAL_DATE = datetime(1990, 1, 1, tzinfo=UTC)


def is_fit(content: bytes) -> bool:
    return content[8:12] == b".FIT"


def read_fit(content: bytes) -> list[Recording]:
    """A recording for each session. Raises RecordingCorrupt, RecordingWithoutActivity, RecordingWithoutTimes."""
    found: list[Recording] = []
    sessions = 0
    utc_offset = None
    sport_name = None
    try:
        with fitdecode.FitReader(
            io.BytesIO(telling_messages(content)),
            check_crc=fitdecode.CrcCheck.DISABLED,  # `telling_messages` has looked at that of the whole file
            error_handling=fitdecode.ErrorHandling.IGNORE,  # newer devices' own fields, not damage
        ) as frames:
            for frame in frames:
                if frame.frame_type != fitdecode.FIT_FRAME_DATA:
                    continue
                if frame.name == "sport":
                    sport_name = _text(frame, "name")
                elif frame.name == "session":
                    sessions += 1
                    if (recording := _recording(frame, sport_name)) is not None:
                        found.append(recording)
                        refuse_too_many(found)
                    sport_name = None
                elif frame.name == "activity":
                    utc_offset = _utc_offset(frame)
    except fitdecode.FitError as error:
        raise RecordingCorrupt(str(error)) from error
    if not sessions:
        raise RecordingWithoutActivity
    if not found:
        raise RecordingWithoutTimes
    return [replace(recording, utc_offset=utc_offset) for recording in found]


def _recording(session: Any, sport_name: str | None) -> Recording | None:
    """None for a session without a start or a duration."""
    started_at = _moment(session, "start_time")
    duration_s = _number(session, "total_timer_time") or _number(session, "total_elapsed_time")
    if started_at is None or not duration_s:
        return None
    sport = _value(session, "sport")
    calories = _number(session, "total_calories")
    return Recording(
        activity_type=activity_type(sport, _value(session, "sub_sport")),
        started_at=started_at,
        utc_offset=None,
        duration_s=duration_s,
        title="Transition" if sport == "transition" else sport_name,
        distance_m=_number(session, "total_distance"),
        elevation_gain_m=_number(session, "total_ascent"),
        calories_kcal=None if calories is None else round(calories),
        average_heart_rate_bpm=heart_rate(_number(session, "avg_heart_rate")),
        max_heart_rate_bpm=heart_rate(_number(session, "max_heart_rate")),
    )


def _value(message: Any, field: str) -> Any:
    return message.get_value(field, fallback=None)


def _number(message: Any, field: str) -> float | None:
    """None also where the file has a text, an array or a NaN in place of the number."""
    value = _value(message, field)
    return value if isinstance(value, int | float) and isfinite(value) else None


def _text(message: Any, field: str) -> str | None:
    value = _value(message, field)
    return value if isinstance(value, str) else None


def _moment(message: Any, field: str) -> datetime | None:
    value = _value(message, field)
    return value if isinstance(value, datetime) and value >= FIRST_REAL_DATE else None


def _utc_offset(activity: Any) -> timedelta | None:
    """How far the watch's own clock stood from UTC, in whole quarters of an hour as all zones do."""
    utc, local = _moment(activity, "timestamp"), _moment(activity, "local_timestamp")
    if utc is None or local is None:
        return None
    quarter = timedelta(minutes=15)
    offset = round((local - utc) / quarter) * quarter
    return offset if timedelta(hours=-12) <= offset <= timedelta(hours=14) else None
