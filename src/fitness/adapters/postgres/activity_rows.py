"""An activity as a row: its columns, its parameters, and the conditions of a filter on them."""

from datetime import datetime
from typing import Any, LiteralString

from fitness.adapters.postgres.database import Row
from fitness.domain.model.activities import Activity, ActivityType
from fitness.domain.model.listings import ActivityFilter

COLUMNS = """
    id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
    elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
    created_at, updated_at, deleted_at
"""

TYPE_IS: LiteralString = "activity_type = %(activity_type)s"
DAY_SINCE: LiteralString = "local_date >= %(since)s"
STARTED_SINCE: LiteralString = "activity_date >= %(since)s"
DAY_UNTIL: LiteralString = "local_date <= %(until)s"
STARTED_UNTIL: LiteralString = "activity_date < %(until)s"
HAS_TAGS: LiteralString = "tags @> %(tags)s"
LACKS_TAGS: LiteralString = "NOT tags && %(excluded_tags)s"
SPEAKS_OF: LiteralString = r"(title ILIKE %(words)s OR notes ILIKE %(words)s)"


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
    )


def parameters_of(activity: Activity) -> dict[str, Any]:
    return {
        "user_id": activity.user_id,
        "version": activity.version,
        "activity_type": activity.activity_type,
        "title": activity.title,
        "activity_date": activity.activity_date,
        "timezone": activity.timezone,
        "local_date": activity.local_date,
        "duration_minutes": activity.duration_minutes,
        "distance_km": activity.distance_km,
        "elevation_gain_m": activity.elevation_gain_m,
        "calories_kcal": activity.calories_kcal,
        "average_heart_rate_bpm": activity.average_heart_rate_bpm,
        "max_heart_rate_bpm": activity.max_heart_rate_bpm,
        "notes": activity.notes,
        "tags": list(activity.tags),
        "source": activity.source,
        "external_id": activity.external_id,
        "created_at": activity.created_at,
        "updated_at": activity.updated_at,
    }


def conditions(which: ActivityFilter) -> list[LiteralString]:
    """Only those that narrow, so that the planner sees a query it has an index for."""
    asked: list[tuple[bool, LiteralString]] = [
        (which.activity_type is not None, TYPE_IS),
        (which.since is not None, STARTED_SINCE if isinstance(which.since, datetime) else DAY_SINCE),
        (which.until is not None, STARTED_UNTIL if isinstance(which.until, datetime) else DAY_UNTIL),
        (bool(which.tags), HAS_TAGS),
        (bool(which.excluded_tags), LACKS_TAGS),
        (which.words is not None, SPEAKS_OF),
    ]
    return [condition for narrows, condition in asked if narrows]


def filter_parameters(which: ActivityFilter) -> dict[str, Any]:
    return {
        "activity_type": which.activity_type,
        "since": which.since,
        "until": which.until,
        "tags": list(which.tags),
        "excluded_tags": list(which.excluded_tags),
        "words": which.words and f"%{_unpatterned(which.words)}%",
    }


def _unpatterned(words: str) -> str:
    """`words` with what LIKE takes for a pattern taken literally."""
    return words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
