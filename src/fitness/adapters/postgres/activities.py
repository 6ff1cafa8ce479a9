"""Activities in PostgreSQL."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, LiteralString, TypeVar

import msgspec
from psycopg.errors import ForeignKeyViolation, UniqueViolation

from fitness.adapters.postgres.database import Connection, Database, Row, fetch_one
from fitness.adapters.postgres.outbox import OWE, owed_parameters
from fitness.adapters.postgres.rows import listing, page_parameters, page_sql
from fitness.domain.model.activities import Activity, ActivityState, ActivityType
from fitness.domain.model.audit import AuditAction, Authority
from fitness.domain.model.listings import ActivityFilter, Listing, Page, Position
from fitness.domain.model.refusals import (
    DuplicateActivity,
    IdempotencyKeyReused,
    IdempotentRequestInFlight,
    UserNotFound,
)
from fitness.ports.activities import KEPT_FOR, Created, IdempotencyKey
from fitness.ports.cache import Owed

T = TypeVar("T")

COLUMNS = """
    id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
    elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
    created_at, updated_at, deleted_at
"""

INSERT = f"""
    WITH changed AS (
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
    ), owed AS ({OWE})
    SELECT id
    FROM changed
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

OWNER = """
    SELECT user_id
    FROM activities
    WHERE id = %(id)s
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

UPDATE = f"""
    WITH changed AS (
    UPDATE activities
    SET version = %(version)s, activity_type = %(activity_type)s, title = %(title)s, activity_date = %(activity_date)s,
        timezone = %(timezone)s, local_date = %(local_date)s, duration_minutes = %(duration_minutes)s,
        distance_km = %(distance_km)s, elevation_gain_m = %(elevation_gain_m)s, calories_kcal = %(calories_kcal)s,
        average_heart_rate_bpm = %(average_heart_rate_bpm)s, max_heart_rate_bpm = %(max_heart_rate_bpm)s,
        notes = %(notes)s, tags = %(tags)s, updated_at = %(updated_at)s
    WHERE id = %(id)s AND user_id = %(user_id)s AND version = %(version)s - 1 AND deleted_at IS NULL
    RETURNING id
    ), owed AS ({OWE})
    SELECT id
    FROM changed
"""

SOFT_DELETE = f"""
    WITH changed AS (
    UPDATE activities
    SET deleted_at = %(at)s, updated_at = %(at)s, version = version + 1
    WHERE id = %(id)s AND user_id = %(owner)s AND deleted_at IS NULL
        AND (%(versions)s::bigint[] IS NULL OR version = ANY(%(versions)s))
    RETURNING id
    ), owed AS ({OWE})
    SELECT id
    FROM changed
"""

RESTORE = f"""
    WITH changed AS (
    UPDATE activities
    SET deleted_at = NULL, updated_at = %(at)s, version = version + 1
    WHERE id = %(id)s AND user_id = %(owner)s AND deleted_at IS NOT NULL
    RETURNING {COLUMNS}
    ), owed AS ({OWE})
    SELECT {COLUMNS}
    FROM changed
"""

PURGE = f"""
    WITH changed AS (
    DELETE FROM activities
    WHERE id = %(id)s AND deleted_at IS NOT NULL
    RETURNING id, user_id
    ), logged AS (
        INSERT INTO audit_log (at, actor_id, action, subject_id, owner_id, reason)
        SELECT %(at)s, %(actor_id)s, %(action)s, id, user_id, %(reason)s
        FROM changed
    ), owed AS ({OWE})
    SELECT id
    FROM changed
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

    async def add(self, activity: Activity, *, owed: Owed, idempotency: IdempotencyKey | None = None) -> Created:
        if idempotency is None:
            return Created((await self.add_all([activity], owed=owed))[0])

        async def work(connection: Connection) -> Created:
            return await _add_once(connection, activity, owed, idempotency)

        return await self._once_per_origin([activity], lambda: self._database.transaction(work))

    async def add_all(self, activities: Sequence[Activity], *, owed: Owed) -> list[Activity]:
        async def work(connection: Connection) -> Sequence[Activity]:
            return [await _insert(connection, activity, owed) for activity in activities]

        run = self._database.run if len(activities) == 1 else self._database.transaction
        return [*await self._once_per_origin(activities, lambda: run(work))]

    async def get(self, activity_id: int) -> Activity | None:
        row = await self._database.one(GET, {"id": activity_id})
        return _activity(row) if row else None

    async def state(self, activity_id: int, *, owner: int | None = None) -> ActivityState | None:
        row = await self._database.one(STATE, {"id": activity_id, "owner": owner})
        if row is None:
            return None
        return ActivityState.LIVE if row[0] else ActivityState.TRASHED

    async def owner(self, activity_id: int) -> int | None:
        return _id(await self._database.one(OWNER, {"id": activity_id}))

    async def living_id(self, owner: int, *, source: str, external_id: str) -> int | None:
        origin = {"owner": owner, "source": source, "external_id": external_id}
        return _id(await self._database.one(LIVING_ID, origin))

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
        rows = await self._database.all(query, parameters | page_parameters(page))
        return listing(rows, page, _activity, lambda one: Position(one.activity_date, one.id))

    async def update(self, activity: Activity, *, owed: Owed) -> bool:
        parameters = _parameters(activity) | {"id": activity.id} | owed_parameters(owed)
        return await self._database.one(UPDATE, parameters) is not None

    async def soft_delete(
        self, activity_id: int, *, owner: int, at: datetime, owed: Owed, versions: Collection[int] | None = None
    ) -> bool:
        named = None if versions is None else [*versions]
        parameters = {"id": activity_id, "owner": owner, "at": at, "versions": named} | owed_parameters(owed)
        return await self._database.one(SOFT_DELETE, parameters) is not None

    async def trash(self, owner: int, page: Page) -> Listing[Activity]:
        query = page_sql(columns=COLUMNS, source=TRASHED, order="deleted_at", onward=page.after is not None)
        rows = await self._database.all(query, {"owner": owner} | page_parameters(page))
        return listing(rows, page, _activity, lambda one: Position(one.deleted_at or one.updated_at, one.id))

    async def restore(self, activity_id: int, *, owner: int, at: datetime, owed: Owed) -> Activity | None:
        parameters = {"id": activity_id, "owner": owner, "at": at} | owed_parameters(owed)
        while True:  # ends: the twin it clashed with is there, or is gone and clashes no more
            try:
                row = await self._database.one(RESTORE, parameters)
                return _activity(row) if row else None
            except UniqueViolation as error:
                twin = _id(await self._database.one(LIVING_TWIN, {"id": activity_id}))
                if twin is not None:
                    raise DuplicateActivity(twin) from error

    async def purge(self, activity_id: int, authority: Authority, *, owed: Owed) -> bool:
        parameters = {
            "id": activity_id,
            "at": authority.at,
            "actor_id": authority.actor_id,
            "action": AuditAction.ACTIVITY_PURGED,
            "reason": authority.reason,
        }
        return await self._database.one(PURGE, parameters | owed_parameters(owed)) is not None

    async def _once_per_origin(self, activities: Sequence[Activity], attempt: Callable[[], Awaitable[T]]) -> T:
        while True:  # ends: the activity it clashed with is there, or is gone and clashes no more
            try:
                return await attempt()
            except ForeignKeyViolation as error:
                raise UserNotFound(activities[0].user_id) from error
            except UniqueViolation as error:
                for one in activities:
                    origin = {"owner": one.user_id, "source": one.source, "external_id": one.external_id}
                    existing = _id(await self._database.one(LIVING_ID, origin))
                    if existing is not None:
                        raise DuplicateActivity(existing) from error


async def _add_once(connection: Connection, activity: Activity, owed: Owed, idempotency: IdempotencyKey) -> Created:
    named = {"user_id": activity.user_id, "key": idempotency.value}
    if await fetch_one(connection, LOCK_KEY, named) != (True,):
        raise IdempotentRequestInFlight
    await connection.execute(FORGET_KEYS, named | {"expired": activity.created_at - KEPT_FOR})
    answer = await fetch_one(connection, GET_ANSWER, named)
    if answer is not None:
        fingerprint, text = answer
        if fingerprint != idempotency.fingerprint:
            raise IdempotencyKeyReused
        return Created(_decode(text), replayed=True)
    kept = await _insert(connection, activity, owed)
    answer_kept = {
        "fingerprint": idempotency.fingerprint,
        "activity_id": kept.id,
        "answer": _encode(kept).decode(),
        "created_at": activity.created_at,
    }
    await connection.execute(KEEP_ANSWER, named | answer_kept)
    return Created(kept)


async def _insert(connection: Connection, activity: Activity, owed: Owed) -> Activity:
    row = await fetch_one(connection, INSERT, _parameters(activity) | owed_parameters(owed))
    assert row is not None
    return replace(activity, id=int(row[0]))


def _id(row: Row | None) -> int | None:
    return int(row[0]) if row else None


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
