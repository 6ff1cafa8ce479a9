"""An activity as a row: its columns and its parameters."""

from collections.abc import Iterable
from typing import LiteralString

import msgspec

from fitness.adapters.postgres.database import Row
from fitness.domain.model.activities import Activity, ActivityDates, ActivityState, ActivityType

COLUMNS: LiteralString = """
    id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
    elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
    created_at, updated_at, deleted_at, elapsed_minutes, is_indoor, group_id
"""

RECORD: LiteralString = """
    id bigint, user_id bigint, version bigint, activity_type text, title text, activity_date timestamptz, timezone text,
    local_date date, duration_minutes double precision, distance_km double precision, elevation_gain_m double precision,
    calories_kcal integer, average_heart_rate_bpm integer, max_heart_rate_bpm integer, notes text, tags text[],
    source text, external_id text, created_at timestamptz, updated_at timestamptz,
    elapsed_minutes double precision, is_indoor boolean, group_id bigint
"""
"""The columns that json_to_recordset makes of `records`."""

DATES: LiteralString = "id, user_id, created_at, updated_at, deleted_at"

DATES_OF: dict[ActivityState | None, LiteralString] = {
    None: "FROM activities WHERE user_id = %(owner)s",
    ActivityState.LIVE: "FROM activities WHERE user_id = %(owner)s AND deleted_at IS NULL",
    ActivityState.TRASHED: "FROM activities WHERE user_id = %(owner)s AND deleted_at IS NOT NULL",
}

_encode = msgspec.json.Encoder().encode


def dates_of(row: Row) -> ActivityDates:
    return ActivityDates(id=row[0], user_id=row[1], created_at=row[2], updated_at=row[3], deleted_at=row[4])


def activity_of(row: Row) -> Activity:
    return Activity(
        id=row[0],
        user_id=row[1],
        version=row[2],
        activity_type=ActivityType(row[3]),
        title=row[4],
        activity_date=row[5],
        timezone=row[6],
        local_date=row[7],
        duration_minutes=row[8],
        distance_km=row[9],
        elevation_gain_m=row[10],
        calories_kcal=row[11],
        average_heart_rate_bpm=row[12],
        max_heart_rate_bpm=row[13],
        notes=row[14],
        tags=tuple(row[15]),
        source=row[16],
        external_id=row[17],
        created_at=row[18],
        updated_at=row[19],
        deleted_at=row[20],
        elapsed_minutes=row[21],
        is_indoor=row[22],
        group_id=row[23],
    )


def records(activities: Iterable[Activity]) -> str:
    """The activities as JSON, for RECORD: two dozen parameters for each would cost more than the statement itself."""
    return _encode([*activities]).decode()
