"""Inserting activities: many in one statement, each under an id that was reserved before."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import LiteralString

from psycopg import Error

from fitness.adapters.postgres.activity_rows import RECORD, records
from fitness.adapters.postgres.commits import all_or_nothing
from fitness.adapters.postgres.database import Connection, Database
from fitness.adapters.postgres.messages import carrying, messages_parameters
from fitness.adapters.postgres.together import Together
from fitness.domain.model.activities import Activity
from fitness.domain.model.changes import ChangeKind
from fitness.ports.messages import Messages

RESERVED_AT_ONCE = 64

RESERVE_IDS = """
    SELECT nextval(pg_get_serial_sequence('activities', 'id'))
    FROM generate_series(1, %(count)s)
"""

_INSERT: LiteralString = f"""
    INSERT INTO activities (
        id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
        elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
        created_at, updated_at, elapsed_minutes, is_indoor, group_id
    )
    OVERRIDING SYSTEM VALUE
    SELECT
        id, user_id, version, activity_type, title, activity_date, timezone, local_date, duration_minutes, distance_km,
        elevation_gain_m, calories_kcal, average_heart_rate_bpm, max_heart_rate_bpm, notes, tags, source, external_id,
        created_at, updated_at, elapsed_minutes, is_indoor, group_id
    FROM json_to_recordset(%(activities)s::json) AS activity (
        {RECORD}
    )
    RETURNING id, user_id, version, updated_at
"""

INSERT_ONE = carrying(_INSERT, returning="id", logged=ChangeKind.CREATED)
INSERT = carrying(_INSERT, returning="id", logged=ChangeKind.CREATED, several=True)

Row = tuple[Activity, Messages]
"""An activity, and the messages of its creation."""


class ActivityInserts:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._together = Together[Row, Activity](self._each)
        self._reserved: deque[int] = deque()
        self._reservations = Together[None, int](self._reserve, most=1_000)

    async def new_ids(self, count: int) -> list[int]:
        given = [self._reserved.popleft() for _ in range(min(count, len(self._reserved)))]
        missing = count - len(given)
        if missing:  # one statement for all that wait; if it gets no answer, all of them fail
            given += await asyncio.gather(*(self._reservations.ask(None) for _ in range(missing)))
        return given

    async def _reserve(self, asked: Sequence[None]) -> list[int]:
        rows = await self._database.all(RESERVE_IDS, {"count": max(len(asked), RESERVED_AT_ONCE)})
        ids = [number for (number,) in rows]
        self._reserved.extend(ids[len(asked) :])
        return ids[: len(asked)]

    async def one(self, activity: Activity, messages: Messages) -> Activity:
        """Insert it, in one statement with concurrent inserts. Raises psycopg's Error for this activity alone."""
        return await self._together.ask((await self._named(activity), messages))

    async def all(self, activities: Sequence[Activity], messages: Messages) -> list[Activity]:
        """Insert all or none, in one statement; after an outage none later either. Raises psycopg's Error."""
        ids = iter(await self.new_ids(sum(not one.id for one in activities)))
        named = [one if one.id else replace(one, id=next(ids)) for one in activities]
        await all_or_nothing(self._database, lambda connection: insert(connection, [(one, messages) for one in named]))
        return named

    async def on(self, connection: Connection, activity: Activity, messages: Messages) -> Activity:
        """Insert it in the transaction of `connection`. Raises psycopg's Error."""
        named = await self._named(activity)
        await insert(connection, [(named, messages)])
        return named

    async def _named(self, activity: Activity) -> Activity:
        return activity if activity.id else replace(activity, id=(await self.new_ids(1))[0])

    async def _each(self, rows: Sequence[Row]) -> Sequence[Activity | Exception]:
        """If one row cannot be inserted, the statement inserts none: then each is tried alone."""
        try:
            await self._database.run(lambda connection: insert(connection, rows))
        except Error as error:
            return [error] if len(rows) == 1 else [(await self._each([row]))[0] for row in rows]
        return [activity for activity, _ in rows]


async def insert(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert the rows in one statement. Raises psycopg's Error."""
    activities = records(activity for activity, _ in rows)
    carried = messages_parameters({messages.id: messages for _, messages in rows}.values())
    await connection.execute(INSERT if len(rows) > 1 else INSERT_ONE, {"activities": activities} | carried)
