"""Updating activities: many in one statement, each only if the stored version is the one right before."""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import Error

from fitness.adapters.postgres.activity_rows import RECORD, records
from fitness.adapters.postgres.database import Connection, Database
from fitness.adapters.postgres.messages import carrying, messages_parameters
from fitness.adapters.postgres.together import Together
from fitness.domain.model.activities import Activity
from fitness.domain.model.changes import ChangeKind
from fitness.ports.messages import Messages

# The rows are locked by id before the first one is updated, so that two statements with the same rows do not deadlock.
# Of two changes of one activity in a statement only one is made: the second one would find another version.
_UPDATE: LiteralString = f"""
    UPDATE activities AS activity
    SET version = revised.version, activity_type = revised.activity_type, title = revised.title,
        activity_date = revised.activity_date, timezone = revised.timezone, local_date = revised.local_date,
        duration_minutes = revised.duration_minutes, distance_km = revised.distance_km,
        elevation_gain_m = revised.elevation_gain_m, calories_kcal = revised.calories_kcal,
        average_heart_rate_bpm = revised.average_heart_rate_bpm, max_heart_rate_bpm = revised.max_heart_rate_bpm,
        notes = revised.notes, tags = revised.tags, updated_at = revised.updated_at,
        elapsed_minutes = revised.elapsed_minutes, is_indoor = revised.is_indoor
    FROM (
        SELECT revised.*, revised.unnest AS message_id
        FROM ROWS FROM (
            json_to_recordset(%(activities)s::json) AS ({RECORD}), unnest(%(message_ids)s::bigint[])
        ) AS revised
        JOIN activities AS held USING (id)
        ORDER BY held.id
        FOR UPDATE OF held
    ) AS revised
    WHERE activity.id = revised.id AND activity.user_id = revised.user_id AND activity.version = revised.version - 1
        AND activity.deleted_at IS NULL
    RETURNING activity.id, activity.user_id, activity.version, activity.updated_at, revised.message_id
"""

UPDATE_ONE = carrying(_UPDATE, returning="message_id", logged=ChangeKind.UPDATED, each=True)
UPDATE = carrying(_UPDATE, returning="message_id", logged=ChangeKind.UPDATED, several=True, each=True)

Row = tuple[Activity, Messages]
"""An activity as it will be, and the messages of the change."""


class ActivityUpdates:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._together = Together[Row, bool](self._each)

    async def one(self, activity: Activity, messages: Messages) -> bool:
        """Update it, in one statement with concurrent updates. Whether it was changed. Raises psycopg's Error."""
        return await self._together.ask((activity, messages))

    async def _each(self, rows: Sequence[Row]) -> Sequence[bool | Exception]:
        """If one row cannot be stored, the statement stores none: then each is tried alone."""
        try:
            return await self._database.run(lambda connection: update(connection, rows))
        except Error as error:
            return [error] if len(rows) == 1 else [(await self._each([row]))[0] for row in rows]


async def update(connection: Connection, rows: Sequence[Row]) -> list[bool]:
    """Update the rows in one statement. For each, whether it was changed. Raises psycopg's Error."""
    ids = [messages.id for _, messages in rows]
    given = {"activities": records(activity for activity, _ in rows), "message_ids": ids}
    carried = messages_parameters(messages for _, messages in rows)
    cursor = await connection.execute(UPDATE if len(rows) > 1 else UPDATE_ONE, given | carried)
    changed = {message_id for (message_id,) in await cursor.fetchall()}
    return [message_id in changed for message_id in ids]
