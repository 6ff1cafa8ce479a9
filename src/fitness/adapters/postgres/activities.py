"""Activities in PostgreSQL."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, LiteralString, TypeVar

import msgspec
from psycopg.errors import UniqueViolation

from fitness.adapters.postgres.database import Connection, Database
from fitness.adapters.postgres.rows import listing, page_parameters, page_sql
from fitness.domain.model.activities import Activity, ActivityState, ActivityType
from fitness.domain.model.audit import AuditAction, Authority
from fitness.domain.model.listings import ActivityFilter, Listing, Page, Position
from fitness.domain.model.refusals import DuplicateActivity, IdempotencyKeyReused, IdempotentRequestInFlight
from fitness.ports.activities import KEPT_FOR, Created, IdempotencyKey

T = TypeVar("T")

COLUMNS = """
    id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
    elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
    created_at, updated_at, deleted_at
"""

INSERT = """
    INSERT INTO activities (
        user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
        elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
        created_at, updated_at
    )
    VALUES (
        %(user_id)s, %(version)s, %(activity_type)s, %(title)s, %(activity_date)s, %(timezone)s, %(local_date)s,
        %(duration_minutes)s, %(distance_km)s, %(elevation_gain_m)s, %(calories_kcal)s, %(average_heart_rate_bpm)s,
        %(max_heart_rate_bpm)s, %(notes)s, %(tags)s, %(source)s, %(external_id)s, %(created_at)s, %(updated_at)s
    )
    RETURNING id
"""

GET = f"""
    SELECT {COLUMNS}
    FROM live_activities
    WHERE id = %(id)s
"""

STATE = """
    SELECT deleted_at IS NULL
    FROM activities
    WHERE id = %(id)s AND (%(owner)s::bigint IS NULL OR user_id = %(owner)s)
"""

LIVING_ID = """
    SELECT id
    FROM live_activities
    WHERE user_id = %(owner)s AND source = %(source)s AND external_id = %(external_id)s
"""

LIVING_TWIN = """
    SELECT living.id
    FROM activities AS trashed
    JOIN live_activities AS living USING (user_id, source, external_id)
    WHERE trashed.id = %(id)s AND living.id <> trashed.id
"""

UPDATE = """
    UPDATE activities
    SET version = %(version)s, activity_type = %(activity_type)s, title = %(title)s, activity_date = %(activity_date)s,
        timezone = %(timezone)s, local_date = %(local_date)s, duration_minutes = %(duration_minutes)s,
        distance_km = %(distance_km)s, elevation_gain_m = %(elevation_gain_m)s, calories_kcal = %(calories_kcal)s,
        average_heart_rate_bpm = %(average_heart_rate_bpm)s, max_heart_rate_bpm = %(max_heart_rate_bpm)s,
        notes = %(notes)s, tags = %(tags)s, updated_at = %(updated_at)s
    WHERE id = %(id)s AND user_id = %(user_id)s AND version = %(version)s - 1 AND deleted_at IS NULL
"""

SOFT_DELETE = """
    UPDATE activities
    SET deleted_at = %(at)s, updated_at = %(at)s, version = version + 1
    WHERE id = %(id)s AND user_id = %(owner)s AND deleted_at IS NULL
        AND (%(version)s::bigint IS NULL OR version = %(version)s)
"""

RESTORE = f"""
    UPDATE activities
    SET deleted_at = NULL, updated_at = %(at)s, version = version + 1
    WHERE id = %(id)s AND user_id = %(owner)s AND deleted_at IS NOT NULL
    RETURNING {COLUMNS}
"""

PURGE = """
    WITH purged AS (
        DELETE FROM activities
        WHERE id = %(id)s AND deleted_at IS NOT NULL
        RETURNING id, user_id
    ), logged AS (
        INSERT INTO audit_log (at, actor_id, action, subject_id, owner_id, reason)
        SELECT %(at)s, %(actor_id)s, %(action)s, id, user_id, %(reason)s
        FROM purged
    )
    SELECT user_id
    FROM purged
"""

# A lock on the name alone: whoever does not get it knows that the first request is still running.
LOCK_KEY = """
    SELECT pg_try_advisory_xact_lock(hashtextextended(%(key)s, %(user_id)s))
"""

FORGET_KEYS = """
    DELETE FROM idempotency_keys
    WHERE user_id = %(user_id)s AND created_at <= %(expired)s
"""

GET_ANSWER = """
    SELECT fingerprint, answer::text
    FROM idempotency_keys
    WHERE user_id = %(user_id)s AND key = %(key)s
"""

KEEP_ANSWER = """
    INSERT INTO idempotency_keys (user_id, key, fingerprint, activity_id, answer, created_at)
    VALUES (%(user_id)s, %(key)s, %(fingerprint)s, %(activity_id)s, %(answer)s, %(created_at)s)
"""

OWN = "FROM live_activities WHERE user_id = %(owner)s"
TRASHED = "FROM activities WHERE user_id = %(owner)s AND deleted_at IS NOT NULL"

TYPE_IS: LiteralString = "activity_type = %(activity_type)s"
DAY_SINCE: LiteralString = "local_date >= %(since)s"
STARTED_SINCE: LiteralString = "activity_date >= %(since)s"
DAY_UNTIL: LiteralString = "local_date <= %(until)s"
STARTED_UNTIL: LiteralString = "activity_date < %(until)s"
HAS_TAGS: LiteralString = "tags @> %(tags)s"
LACKS_TAGS: LiteralString = "NOT tags && %(excluded_tags)s"
SPEAKS_OF: LiteralString = r"(title ILIKE %(words)s OR notes ILIKE %(words)s)"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Activity).decode


class PostgresActivityRepo:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, activity: Activity, *, idempotency: IdempotencyKey | None = None) -> Created:
        if idempotency is not None:
            return await self._once_per_origin([activity], lambda: self._add_once(activity, idempotency))
        return Created((await self.add_all([activity]))[0])

    async def add_all(self, activities: Sequence[Activity]) -> list[Activity]:
        return list(await self._once_per_origin(activities, lambda: self._insert_all(activities)))

    async def get(self, activity_id: int) -> Activity | None:
        async with self._database.connection() as connection:
            row = await (await connection.execute(GET, {"id": activity_id})).fetchone()
        return _activity(row) if row else None

    async def state(self, activity_id: int, *, owner: int | None = None) -> ActivityState | None:
        async with self._database.connection() as connection:
            row = await (await connection.execute(STATE, {"id": activity_id, "owner": owner})).fetchone()
        if row is None:
            return None
        return ActivityState.LIVE if row[0] else ActivityState.TRASHED

    async def living_id(self, owner: int, *, source: str, external_id: str) -> int | None:
        origin = {"owner": owner, "source": source, "external_id": external_id}
        return await self._id(LIVING_ID, origin)

    async def list(self, owner: int, which: ActivityFilter, page: Page) -> Listing[Activity]:
        source = " AND ".join([OWN, *_conditions(which)])
        query = page_sql(columns=COLUMNS, source=source, order="activity_date", onward=page.after is not None)
        words = which.words and f"%{_unpatterned(which.words)}%"
        parameters = {
            "owner": owner,
            "activity_type": which.activity_type,
            "since": which.since,
            "until": which.until,
            "tags": list(which.tags),
            "excluded_tags": list(which.excluded_tags),
            "words": words,
        }
        async with self._database.connection() as connection:
            rows = await (await connection.execute(query, parameters | page_parameters(page))).fetchall()
        return listing(rows, page, _activity, lambda one: Position(one.activity_date, one.id))

    async def update(self, activity: Activity) -> bool:
        return await self._changes(UPDATE, _parameters(activity) | {"id": activity.id})

    async def soft_delete(self, activity_id: int, *, owner: int, at: datetime, version: int | None = None) -> bool:
        return await self._changes(SOFT_DELETE, {"id": activity_id, "owner": owner, "at": at, "version": version})

    async def trash(self, owner: int, page: Page) -> Listing[Activity]:
        query = page_sql(columns=COLUMNS, source=TRASHED, order="deleted_at", onward=page.after is not None)
        async with self._database.connection() as connection:
            rows = await (await connection.execute(query, {"owner": owner} | page_parameters(page))).fetchall()
        return listing(rows, page, _activity, lambda one: Position(one.deleted_at or one.updated_at, one.id))

    async def restore(self, activity_id: int, *, owner: int, at: datetime) -> Activity | None:
        while True:  # ends: the twin it clashed with is there, or is gone and clashes no more
            try:
                async with self._database.connection() as connection:
                    cursor = await connection.execute(RESTORE, {"id": activity_id, "owner": owner, "at": at})
                    row = await cursor.fetchone()
                return _activity(row) if row else None
            except UniqueViolation as error:
                twin = await self._id(LIVING_TWIN, {"id": activity_id})
                if twin is not None:
                    raise DuplicateActivity(twin) from error

    async def purge(self, activity_id: int, authority: Authority) -> int | None:
        parameters = {
            "id": activity_id,
            "at": authority.at,
            "actor_id": authority.actor_id,
            "action": AuditAction.ACTIVITY_PURGED,
            "reason": authority.reason,
        }
        return await self._id(PURGE, parameters)

    async def _add_once(self, activity: Activity, idempotency: IdempotencyKey) -> Created:
        named = {"user_id": activity.user_id, "key": idempotency.value}
        async with self._database.transaction() as connection:
            locked = await (await connection.execute(LOCK_KEY, named)).fetchone()
            if locked != (True,):
                raise IdempotentRequestInFlight
            await connection.execute(FORGET_KEYS, named | {"expired": activity.created_at - KEPT_FOR})
            answer = await (await connection.execute(GET_ANSWER, named)).fetchone()
            if answer is not None:
                fingerprint, text = answer
                if fingerprint != idempotency.fingerprint:
                    raise IdempotencyKeyReused
                return Created(_decode(str(text)), replayed=True)
            kept = await _insert(connection, activity)
            answer_kept = {
                "fingerprint": idempotency.fingerprint,
                "activity_id": kept.id,
                "answer": _encode(kept).decode(),
                "created_at": activity.created_at,
            }
            await connection.execute(KEEP_ANSWER, named | answer_kept)
            return Created(kept)

    async def _insert_all(self, activities: Sequence[Activity]) -> Sequence[Activity]:
        if len(activities) == 1:
            async with self._database.connection() as connection:
                return [await _insert(connection, activities[0])]
        async with self._database.transaction() as connection:
            return [await _insert(connection, activity) for activity in activities]

    async def _once_per_origin(self, activities: Sequence[Activity], attempt: Callable[[], Awaitable[T]]) -> T:
        while True:  # ends: the activity it clashed with is there, or is gone and clashes no more
            try:
                return await attempt()
            except UniqueViolation as error:
                for one in activities:
                    origin = {"owner": one.user_id, "source": one.source, "external_id": one.external_id}
                    existing = await self._id(LIVING_ID, origin)
                    if existing is not None:
                        raise DuplicateActivity(existing) from error

    async def _changes(self, statement: LiteralString, parameters: dict[str, Any]) -> bool:
        async with self._database.connection() as connection:
            return (await connection.execute(statement, parameters)).rowcount == 1

    async def _id(self, query: LiteralString, parameters: dict[str, Any]) -> int | None:
        async with self._database.connection() as connection:
            row: Any = await (await connection.execute(query, parameters)).fetchone()
        return int(row[0]) if row else None


async def _insert(connection: Connection, activity: Activity) -> Activity:
    row: Any = await (await connection.execute(INSERT, _parameters(activity))).fetchone()
    return replace(activity, id=int(row[0]))


def _activity(row: tuple[Any, ...]) -> Activity:
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


def _parameters(activity: Activity) -> dict[str, Any]:
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


def _conditions(which: ActivityFilter) -> list[LiteralString]:
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


def _unpatterned(words: str) -> str:
    """`words` with what LIKE takes for a pattern taken literally."""
    return words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
