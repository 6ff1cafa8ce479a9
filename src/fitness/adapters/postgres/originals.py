"""Uploaded files in PostgreSQL: the files' metadata, and what was read from them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString

import msgspec
from psycopg.errors import ForeignKeyViolation, UniqueViolation

from fitness.adapters.postgres.activities import ORIGIN
from fitness.adapters.postgres.activity_inserts import insert
from fitness.adapters.postgres.activity_rows import COLUMNS, activity_of
from fitness.adapters.postgres.activity_updates import update
from fitness.adapters.postgres.commits import all_or_nothing
from fitness.adapters.postgres.database import Connection, Database, Row, fetch_one
from fitness.domain.model.activities import Activity, Details
from fitness.domain.model.originals import NewOriginal, Original, Reading, details_of
from fitness.domain.model.refusals import DuplicateActivity, IdempotentRequestInFlight, MatchedOn, UserNotFound
from fitness.domain.model.twins import SAME_START, Twin, same_recording
from fitness.ports.messages import Messages
from fitness.ports.originals import REQUEST_KEY_KEPT_FOR

ORIGINAL: LiteralString = """
    id, user_id, object_name, media_type, file_name, size_bytes, home_timezone, made, warnings, recovered, existing_ids,
    request_key, stored_at
"""

# No Idempotency-Key has blanks, so none takes the same lock.
ONE_AT_A_TIME = """
    SELECT pg_advisory_xact_lock(hashtextextended('imports of a user', %(owner)s))
"""

FORGET_REQUEST = """
    UPDATE originals
    SET request_key = NULL
    WHERE user_id = %(owner)s AND request_key = %(request_key)s AND stored_at <= %(expired)s
"""

OF_REQUEST = f"""
    SELECT {ORIGINAL}
    FROM originals
    WHERE user_id = %(owner)s AND request_key = %(request_key)s AND stored_at > %(since)s
"""

ADD = """
    WITH kept AS (
        INSERT INTO originals (
            user_id, object_name, media_type, file_name, size_bytes, home_timezone, made, warnings, recovered,
            existing_ids, request_key, stored_at
        )
        VALUES (
            %(owner)s, %(object_name)s, %(media_type)s, %(file_name)s, %(size_bytes)s, %(home_timezone)s, %(made)s,
            %(warnings)s, %(recovered)s, %(existing_ids)s, %(request_key)s, %(stored_at)s
        )
        RETURNING id
    )
    INSERT INTO readings (activity_id, original_id, number, details)
    SELECT reading.activity_id, kept.id, reading.number, reading.details
    FROM kept, json_to_recordset(%(readings)s::json) AS reading (activity_id bigint, number integer, details jsonb)
"""

BY_ORIGIN = """
    SELECT source, external_id, id
    FROM live_activities
    WHERE user_id = %(owner)s AND (source, external_id) IN (
        SELECT * FROM unnest(%(sources)s::text[], %(external_ids)s::text[])
    )
"""

# DISTINCT: one activity may be near two of the starts.
BY_START = f"""
    SELECT DISTINCT {COLUMNS}
    FROM unnest(%(starts)s::timestamptz[]) AS begun (at)
    JOIN live_activities
    ON user_id = %(owner)s AND activity_date BETWEEN begun.at - %(apart)s AND begun.at + %(apart)s
    ORDER BY activity_date, id
"""

OF_ACTIVITY = """
    SELECT
        originals.id, originals.user_id, object_name, media_type, file_name, size_bytes, home_timezone, made, warnings,
        recovered, existing_ids, request_key, stored_at
    FROM readings
    JOIN originals ON originals.id = readings.original_id
    JOIN live_activities ON live_activities.id = readings.activity_id
    WHERE readings.activity_id = %(id)s AND live_activities.user_id = %(owner)s
"""

AFTER = f"""
    SELECT {ORIGINAL}
    FROM originals
    WHERE id > %(after)s AND (%(owner)s::bigint IS NULL OR user_id = %(owner)s)
    ORDER BY id
    LIMIT %(limit)s
"""

READINGS = f"""
    SELECT number, details::text, {COLUMNS}
    FROM readings
    JOIN activities ON id = activity_id
    WHERE original_id = %(original_id)s AND (NOT %(live)s OR deleted_at IS NULL)
    ORDER BY number
"""

READING = f"""
    SELECT number, details::text, {COLUMNS}
    FROM readings
    JOIN live_activities ON id = activity_id
    WHERE activity_id = %(id)s
"""

READ_ANEW = """
    UPDATE readings
    SET details = %(details)s::jsonb
    WHERE activity_id = %(id)s
"""

_encode = msgspec.json.Encoder().encode
_details = msgspec.json.Decoder(Details).decode


class PostgresOriginalRepo:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        activities: Sequence[Activity],
        numbers: Sequence[int],
        *,
        original: NewOriginal,
        refuse_twins: bool,
        messages: Messages,
    ) -> list[Activity]:
        owner = activities[0].user_id

        async def work(connection: Connection) -> list[Activity]:
            await connection.execute(ONE_AT_A_TIME, {"owner": owner})
            await _refuse_answered(connection, owner, original.request_key, now=activities[0].created_at)
            if refuse_twins:
                _refuse_first(await _twins(connection, owner, activities))
            await insert(connection, [(one, messages) for one in activities])
            await connection.execute(ADD, _parameters(owner, activities, numbers, original))
            return [*activities]

        # The loop ends: a clash of origins is with a row of another transaction. Either that row is found, or it is
        # gone and the next try succeeds.
        while True:
            try:
                return await all_or_nothing(self._database, work)
            except ForeignKeyViolation as error:
                raise UserNotFound(owner) from error
            except UniqueViolation as error:
                if error.diag.constraint_name != ORIGIN:
                    raise
                twins = await self.twins(owner, activities)
                _refuse_first([twin for twin in twins if twin and twin.matched_on is not MatchedOn.START])

    async def twins(self, owner: int, activities: Sequence[Activity]) -> list[Twin | None]:
        return await self._database.run(lambda connection: _twins(connection, owner, activities))

    async def of_activity(self, activity_id: int, *, owner: int) -> Original | None:
        row = await self._database.one(OF_ACTIVITY, {"id": activity_id, "owner": owner})
        return None if row is None else _original(row)

    async def of_request(self, owner: int, request_key: str, *, since: datetime) -> Original | None:
        named = {"owner": owner, "request_key": request_key, "since": since}
        row = await self._database.one(OF_REQUEST, named)
        return None if row is None else _original(row)

    async def after(self, original_id: int, *, owner: int | None = None, limit: int = 100) -> list[Original]:
        rows = await self._database.all(AFTER, {"after": original_id, "owner": owner, "limit": limit})
        return [_original(row) for row in rows]

    async def readings(self, original_id: int, *, live: bool) -> list[Reading]:
        rows = await self._database.all(READINGS, {"original_id": original_id, "live": live})
        return [_reading(row) for row in rows]

    async def reading(self, activity_id: int) -> Reading | None:
        row = await self._database.one(READING, {"id": activity_id})
        return None if row is None else _reading(row)

    async def update(self, activity: Activity, details: Details, *, messages: Messages) -> bool:
        async def work(connection: Connection) -> bool:
            (changed,) = await update(connection, [(activity, messages)])
            if changed:
                await connection.execute(READ_ANEW, _read(activity.id, details))
            return changed

        return await self._database.transaction(work)

    async def read_anew(self, activity_id: int, details: Details) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(READ_ANEW, _read(activity_id, details))

        await self._database.run(work)


async def _refuse_answered(connection: Connection, owner: int, request_key: str | None, *, now: datetime) -> None:
    if request_key is None:
        return
    named = {"owner": owner, "request_key": request_key}
    await connection.execute(FORGET_REQUEST, named | {"expired": now - REQUEST_KEY_KEPT_FOR})
    if await fetch_one(connection, OF_REQUEST, named | {"since": now - REQUEST_KEY_KEPT_FOR}) is not None:
        raise IdempotentRequestInFlight


def _refuse_first(twins: Sequence[Twin | None]) -> None:
    for twin in twins:
        if twin is not None:
            raise DuplicateActivity(twin.existing_id, twin.matched_on)


async def _twins(connection: Connection, owner: int, activities: Sequence[Activity]) -> list[Twin | None]:
    named = [one for one in activities if one.external_id is not None]
    origins = {"sources": [one.source for one in named], "external_ids": [one.external_id for one in named]}
    found = await (await connection.execute(BY_ORIGIN, {"owner": owner} | origins)).fetchall()
    by_origin = {(source, external_id): activity_id for source, external_id, activity_id in found}
    starts = {"owner": owner, "starts": [one.activity_date for one in activities], "apart": SAME_START}
    rows = await (await connection.execute(BY_START, starts)).fetchall()
    there = [activity_of(row) for row in rows]

    def twin_of(activity: Activity) -> Twin | None:
        same = by_origin.get((activity.source, activity.external_id))
        if same is not None:
            return Twin(same, MatchedOn.FILE)
        return next((Twin(one.id, MatchedOn.START) for one in there if same_recording(one, activity)), None)

    return [twin_of(one) for one in activities]


def _parameters(
    owner: int, activities: Sequence[Activity], numbers: Sequence[int], original: NewOriginal
) -> dict[str, Any]:
    readings = [
        {"activity_id": one.id, "number": number, "details": details_of(one)}
        for one, number in zip(activities, numbers, strict=True)
    ]
    return {
        "owner": owner,
        "object_name": original.object_name,
        "media_type": original.media_type,
        "file_name": original.file_name,
        "size_bytes": original.size_bytes,
        "home_timezone": original.home_timezone,
        "made": original.made,
        "warnings": [*original.warnings],
        "recovered": original.recovered,
        "existing_ids": [*original.existing_ids],
        "request_key": original.request_key,
        "stored_at": activities[0].created_at,
        "readings": _encode(readings).decode(),
    }


def _read(activity_id: int, details: Details) -> dict[str, Any]:
    return {"id": activity_id, "details": _encode(details).decode()}


def _reading(row: Row) -> Reading:
    return Reading(row[0], _details(row[1]), activity_of(row[2:]))


def _original(row: Row) -> Original:
    return Original(
        id=row[0],
        user_id=row[1],
        object_name=row[2],
        media_type=row[3],
        file_name=row[4],
        size_bytes=row[5],
        home_timezone=row[6],
        made=row[7],
        warnings=tuple(row[8]),
        recovered=row[9],
        existing_ids=tuple(row[10]),
        request_key=row[11],
        stored_at=row[12],
    )
