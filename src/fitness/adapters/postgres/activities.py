"""Activities in PostgreSQL."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from psycopg.errors import ForeignKeyViolation, UniqueViolation

from fitness.adapters.postgres.activity_inserts import ActivityInserts
from fitness.adapters.postgres.activity_keys import insert_once
from fitness.adapters.postgres.activity_listing import list_parameters, list_sql
from fitness.adapters.postgres.activity_rows import COLUMNS, DATES, DATES_OF, activity_of, dates_of
from fitness.adapters.postgres.activity_updates import ActivityUpdates
from fitness.adapters.postgres.database import Connection, Database, Row
from fitness.adapters.postgres.messages import audit_parameters, carrying, messages_parameters
from fitness.adapters.postgres.rows import listing, page_parameters, page_sql
from fitness.adapters.postgres.together import Together
from fitness.domain.model.activities import Activity, ActivityDates, ActivityState
from fitness.domain.model.audit import AuditAction
from fitness.domain.model.changes import ChangeKind
from fitness.domain.model.listings import ActivityFilter, Listing, Page, Position, position_of
from fitness.domain.model.refusals import (
    DuplicateActivity,
    UserNotFound,
)
from fitness.domain.model.versions import ANY_VERSION, Versions
from fitness.ports.activities import Created
from fitness.ports.messages import Messages

T = TypeVar("T")

GET = f"""
    SELECT {COLUMNS}
    FROM live_activities
    WHERE id = ANY(%(ids)s)
"""

DELETED_AT = """
    SELECT deleted_at
    FROM activities
    WHERE id = %(id)s AND (%(owner)s::bigint IS NULL OR user_id = %(owner)s)
"""

OWNER = """
    SELECT user_id
    FROM activities
    WHERE id = %(id)s
"""

LIVE_ID = """
    SELECT id
    FROM live_activities
    WHERE user_id = %(owner)s AND source = %(source)s AND external_id = %(external_id)s
"""

LIVE_TWIN = """
    SELECT live.id
    FROM activities AS trashed
    JOIN live_activities AS live USING (user_id, source, external_id)
    WHERE trashed.id = %(id)s AND live.id <> trashed.id
"""

SOFT_DELETE = carrying(
    """
    UPDATE activities
    SET deleted_at = %(at)s, updated_at = %(at)s, version = version + 1
    WHERE id = %(id)s AND user_id = %(owner)s AND deleted_at IS NULL
        AND (%(among)s::bigint[] IS NULL OR version = ANY(%(among)s)) AND version <> ALL(%(but)s::bigint[])
    RETURNING id, user_id, version, updated_at
    """,
    returning="id",
    logged=ChangeKind.TRASHED,
)

RESTORE = carrying(
    f"""
    UPDATE activities
    SET deleted_at = NULL, updated_at = %(at)s, version = version + 1
    WHERE id = %(id)s AND user_id = %(owner)s AND deleted_at > %(trashed_after)s
        AND (%(among)s::bigint[] IS NULL OR version = ANY(%(among)s)) AND version <> ALL(%(but)s::bigint[])
    RETURNING {COLUMNS}
    """,
    returning=COLUMNS,
    logged=ChangeKind.RESTORED,
)

PURGE = carrying(
    """
    DELETE FROM activities
    WHERE id = %(id)s AND deleted_at IS NOT NULL
    RETURNING id, user_id, version
    """,
    returning="id",
    logged=ChangeKind.PURGED,
    owner="user_id",
)

ORIGIN = "activities_origin"
"""The unique index of user, source and external id among live activities."""

BEFORE_ALL = "-infinity"
"""The instant before all others, as PostgreSQL writes it."""

TRASHED = "FROM activities WHERE user_id = %(owner)s AND deleted_at IS NOT NULL"


class PostgresActivityRepo:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._inserts = ActivityInserts(database)
        self._updates = ActivityUpdates(database)
        self._loads = Together(self._load)

    async def new_ids(self, count: int) -> list[int]:
        return await self._inserts.new_ids(count)

    async def add(self, activity: Activity, *, messages: Messages) -> Created:
        idempotency = messages.idempotency
        if idempotency is None:
            insert = partial(self._inserts.one, activity, messages)
            return Created(await self._once_per_origin([activity], insert))

        async def work(connection: Connection) -> Created:
            return await insert_once(self._inserts, connection, activity, messages, idempotency)

        return await self._once_per_origin([activity], lambda: self._database.transaction(work))

    async def add_all(self, activities: Sequence[Activity], *, messages: Messages) -> list[Activity]:
        _refuse_twins(activities)
        return await self._once_per_origin(activities, partial(self._inserts.all, activities, messages))

    async def get(self, activity_id: int) -> Activity | None:
        return await self._loads.ask(activity_id)

    async def _load(self, ids: Sequence[int]) -> Sequence[Activity | None]:
        rows = await self._database.all(GET, {"ids": [*ids]})
        found = {row[0]: row for row in rows}
        return [activity_of(found[one]) if one in found else None for one in ids]

    async def state(self, activity_id: int, *, owner: int | None = None) -> ActivityState | None:
        row = await self._database.one(DELETED_AT, {"id": activity_id, "owner": owner})
        if row is None:
            return None
        return ActivityState.LIVE if row[0] is None else ActivityState.TRASHED

    async def trashed_at(self, activity_id: int, *, owner: int) -> datetime | None:
        row = await self._database.one(DELETED_AT, {"id": activity_id, "owner": owner})
        return row[0] if row else None

    async def owner(self, activity_id: int) -> int | None:
        return _id(await self._database.one(OWNER, {"id": activity_id}))

    async def live_id(self, owner: int, *, source: str, external_id: str) -> int | None:
        origin = {"owner": owner, "source": source, "external_id": external_id}
        return _id(await self._database.one(LIVE_ID, origin))

    async def list(self, owner: int, which: ActivityFilter, page: Page) -> Listing[Activity]:
        rows = await self._database.all(list_sql(which, page), list_parameters(owner, which, page))
        return listing(rows, page, activity_of, lambda one: position_of(one, which.sort))

    async def update(self, activity: Activity, *, messages: Messages) -> bool:
        return await self._updates.one(activity, messages)

    async def soft_delete(
        self, activity_id: int, *, owner: int, at: datetime, messages: Messages, versions: Versions = ANY_VERSION
    ) -> bool:
        parameters = {"id": activity_id, "owner": owner, "at": at} | _versions(versions)
        parameters |= messages_parameters([messages])
        return await self._database.one(SOFT_DELETE, parameters) is not None

    async def trash(self, owner: int, page: Page) -> Listing[Activity]:
        query = page_sql(columns=COLUMNS, source=TRASHED, order="deleted_at", page=page)
        rows = await self._database.all(query, {"owner": owner} | page_parameters(page))
        return listing(rows, page, activity_of, lambda one: Position(one.deleted_at or one.updated_at, one.id))

    async def restore(
        self,
        activity_id: int,
        *,
        owner: int,
        at: datetime,
        messages: Messages,
        versions: Versions = ANY_VERSION,
        trashed_after: datetime | None = None,
    ) -> Activity | None:
        parameters = {"id": activity_id, "owner": owner, "at": at, "trashed_after": trashed_after or BEFORE_ALL}
        parameters |= _versions(versions)
        parameters |= messages_parameters([messages])
        # The loop ends: the twin that the restore clashed with is found, or it is gone and the next try succeeds.
        while True:
            try:
                row = await self._database.one(RESTORE, parameters)
                return activity_of(row) if row else None
            except UniqueViolation as error:
                twin = _id(await self._database.one(LIVE_TWIN, {"id": activity_id}))
                if twin is not None:
                    raise DuplicateActivity(twin) from error

    async def purge(self, activity_id: int, *, messages: Messages) -> bool:
        audit = audit_parameters(AuditAction.ACTIVITY_PURGED, messages)
        parameters = {"id": activity_id} | audit | messages_parameters([messages])
        return await self._database.one(PURGE, parameters) is not None

    async def dates(self, owner: int, page: Page, state: ActivityState | None) -> Listing[ActivityDates]:
        query = page_sql(columns=DATES, source=DATES_OF[state], order="created_at", page=page)
        rows = await self._database.all(query, page_parameters(page) | {"owner": owner})
        return listing(rows, page, dates_of, lambda one: Position(one.created_at, one.id))

    async def _once_per_origin(self, activities: Sequence[Activity], attempt: Callable[[], Awaitable[T]]) -> T:
        # The loop ends: no two of `activities` share an origin, so a clash of origins is with a row of another
        # transaction. Either that row is found, or it is gone and the next try succeeds.
        while True:
            try:
                return await attempt()
            except ForeignKeyViolation as error:
                raise UserNotFound(activities[0].user_id) from error
            except UniqueViolation as error:
                if error.diag.constraint_name != ORIGIN:
                    raise
                for one in activities:
                    origin = {"owner": one.user_id, "source": one.source, "external_id": one.external_id}
                    existing = _id(await self._database.one(LIVE_ID, origin))
                    if existing is not None:
                        raise DuplicateActivity(existing) from error


def _refuse_twins(activities: Sequence[Activity]) -> None:
    """Refuse activities of the same origin. The unique index would too, but there is no live activity to name."""
    origins = [(one.user_id, one.source, one.external_id) for one in activities if one.external_id is not None]
    if len({*origins}) < len(origins):
        raise DuplicateActivity(None)


def _id(row: Row | None) -> int | None:
    return int(row[0]) if row else None


def _versions(versions: Versions) -> dict[str, list[int] | None]:
    return {"among": None if versions.among is None else [*versions.among], "but": [*versions.but]}
