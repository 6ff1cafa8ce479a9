"""Photos in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString

from fitness.adapters.postgres.database import Connection, Database, Row, fetch_one
from fitness.adapters.postgres.exports import END_ALL
from fitness.adapters.postgres.messages import carrying, messages_parameters
from fitness.domain.model.activities import ActivityState
from fitness.domain.model.file_refusals import TooManyPhotos
from fitness.domain.model.photos import MAX_PHOTOS, NewPhoto, Photo, PhotoChanges, PhotoFile, Photos
from fitness.ports.messages import Messages
from fitness.ports.photos import FoundPhoto

COLUMNS: LiteralString = """
    photos.id, photos.activity_id, photos.user_id, photos.position, photos.caption, photos.created_at,
    photos.large_name, photos.large_type, photos.large_width, photos.large_height, photos.large_bytes,
    photos.small_name, photos.small_type, photos.small_width, photos.small_height, photos.small_bytes
"""
RETURNED: LiteralString = COLUMNS.replace("photos.", "")

# Changes of an activity's photos wait here for one another; a soft delete or a purge of the activity waits as well. The
# statement that follows sees what the others have done: its snapshot is taken once the lock is held.
LOCK_ACTIVITY = """
    SELECT id
    FROM activities
    WHERE id = %(activity_id)s AND user_id = %(user_id)s AND deleted_at IS NULL
    FOR NO KEY UPDATE
"""

LOCK_ACTIVITY_OF = """
    SELECT activities.id
    FROM photos JOIN activities ON activities.id = photos.activity_id
    WHERE photos.id = %(id)s AND activities.user_id = %(owner)s AND activities.deleted_at IS NULL
    FOR NO KEY UPDATE OF activities
"""

ADD = carrying(
    f"""
    INSERT INTO photos (
        activity_id, user_id, position, caption, created_at,
        large_name, large_type, large_width, large_height, large_bytes,
        small_name, small_type, small_width, small_height, small_bytes
    )
    SELECT
        %(activity_id)s, %(user_id)s, count(*) + 1, %(caption)s, %(created_at)s,
        %(large_name)s, %(large_type)s, %(large_width)s, %(large_height)s, %(large_bytes)s,
        %(small_name)s, %(small_type)s, %(small_width)s, %(small_height)s, %(small_bytes)s
    FROM photos
    WHERE activity_id = %(activity_id)s
    HAVING count(*) < %(most)s
    RETURNING {RETURNED}
    """,
    returning=RETURNED,
)

LIST = f"""
    SELECT live_activities.user_id, {COLUMNS}
    FROM live_activities LEFT JOIN photos ON photos.activity_id = live_activities.id
    WHERE live_activities.id = %(activity_id)s
    ORDER BY photos.position
"""

FIND = f"""
    SELECT activities.deleted_at IS NULL, {COLUMNS}
    FROM photos JOIN activities ON activities.id = photos.activity_id
    WHERE photos.id = %(id)s AND photos.user_id = %(owner)s
"""

AFTER = f"""
    SELECT {COLUMNS}
    FROM photos
    WHERE user_id = %(owner)s AND id > %(id)s
    ORDER BY id
    LIMIT %(limit)s
"""

CHANGE = carrying(
    f"""
    UPDATE photos
    SET caption = CASE WHEN id = moved.photo AND %(with_caption)s THEN %(caption)s ELSE caption END,
        position = CASE
            WHEN id = moved.photo THEN moved.to_position
            WHEN position BETWEEN moved.from_position AND moved.to_position THEN position - 1
            WHEN position BETWEEN moved.to_position AND moved.from_position THEN position + 1
            ELSE position
        END
    FROM (
        SELECT one.id AS photo, one.activity_id AS activity, one.position AS from_position,
            least(coalesce(%(position)s, one.position), (
                SELECT count(*) FROM photos AS beside WHERE beside.activity_id = one.activity_id
            )) AS to_position
        FROM photos AS one
        WHERE one.id = %(id)s
    ) AS moved
    WHERE activity_id = moved.activity
        AND (id = moved.photo
            OR position BETWEEN moved.from_position AND moved.to_position
            OR position BETWEEN moved.to_position AND moved.from_position)
    RETURNING {COLUMNS}
    """,
    returning=RETURNED,
)

REMOVE = carrying(
    "DELETE FROM photos WHERE id = %(id)s RETURNING activity_id, position", returning="activity_id, position"
)

MOVE_UP = """
    UPDATE photos
    SET position = position - 1
    WHERE activity_id = %(activity_id)s AND position > %(position)s
"""


class PostgresPhotoRepo:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, photo: NewPhoto, *, messages: Messages) -> Photo | None:
        parameters = _parameters_of(photo) | {"most": MAX_PHOTOS} | messages_parameters([messages])

        async def work(connection: Connection) -> Photo | None:
            if await fetch_one(connection, LOCK_ACTIVITY, parameters) is None:
                return None
            row = await fetch_one(connection, ADD, parameters)
            if row is None:
                raise TooManyPhotos(MAX_PHOTOS)
            return _photo_of(row)

        return await self._database.transaction(work)

    async def list(self, activity_id: int) -> Photos | None:
        rows = await self._database.all(LIST, {"activity_id": activity_id})
        if not rows:
            return None
        return Photos(rows[0][0], tuple(_photo_of(row[1:]) for row in rows if row[1] is not None))

    async def find(self, photo_id: int, *, owner: int) -> FoundPhoto | None:
        row = await self._database.one(FIND, {"id": photo_id, "owner": owner})
        if row is None:
            return None
        return FoundPhoto(_photo_of(row[1:]), ActivityState.LIVE if row[0] else ActivityState.TRASHED)

    async def after(self, photo_id: int, *, owner: int, limit: int = 100) -> Sequence[Photo]:
        rows = await self._database.all(AFTER, {"id": photo_id, "owner": owner, "limit": limit})
        return [_photo_of(row) for row in rows]

    async def change(
        self, photo_id: int, changes: PhotoChanges, *, owner: int, seen: Photo | None = None, messages: Messages
    ) -> Photo | None:
        parameters: dict[str, Any] = {
            "id": photo_id,
            "owner": owner,
            "with_caption": "caption" in changes,
            "caption": changes.get("caption"),
            "position": changes.get("position"),
        }

        async def work(connection: Connection) -> Photo | None:
            if not await _locked(connection, parameters, seen):
                return None
            rows = await (await connection.execute(CHANGE, parameters | messages_parameters([messages]))).fetchall()
            return next((_photo_of(row) for row in rows if row[0] == photo_id), None)

        return await self._database.transaction(work)

    async def remove(
        self, photo_id: int, *, owner: int, at: datetime, seen: Photo | None = None, messages: Messages
    ) -> bool:
        parameters = {"id": photo_id, "owner": owner, "at": at}

        async def work(connection: Connection) -> bool:
            if not await _locked(connection, parameters, seen):
                return False
            row = await fetch_one(connection, REMOVE, parameters | messages_parameters([messages]))
            if row is not None:
                activity_id, position = row
                await connection.execute(MOVE_UP, {"activity_id": activity_id, "position": position})
                await connection.execute(END_ALL, parameters)
            return row is not None

        return await self._database.transaction(work)


async def _locked(connection: Connection, parameters: dict[str, Any], seen: Photo | None) -> bool:
    """Lock the photo's activity until the transaction ends. Whether the photo may be changed."""
    if await fetch_one(connection, LOCK_ACTIVITY_OF, parameters) is None:
        return False
    if seen is None:
        return True
    row = await fetch_one(connection, FIND, parameters)
    return row is not None and _photo_of(row[1:]) == seen


def _parameters_of(photo: NewPhoto) -> dict[str, Any]:
    return {
        "activity_id": photo.activity_id,
        "user_id": photo.user_id,
        "caption": photo.caption,
        "created_at": photo.created_at,
        **_file_parameters("large", photo.large),
        **_file_parameters("small", photo.small),
    }


def _file_parameters(size: str, file: PhotoFile) -> dict[str, Any]:
    return {
        f"{size}_name": file.object_name,
        f"{size}_type": file.content_type,
        f"{size}_width": file.width,
        f"{size}_height": file.height,
        f"{size}_bytes": file.size_bytes,
    }


def _photo_of(row: Row) -> Photo:
    photo_id, activity_id, user_id, position, caption, created_at, *files = row
    return Photo(
        id=photo_id,
        activity_id=activity_id,
        user_id=user_id,
        position=position,
        caption=caption,
        created_at=created_at,
        large=_file_of(files[:5]),
        small=_file_of(files[5:]),
    )


def _file_of(values: list[Any]) -> PhotoFile:
    name, content_type, width, height, size_bytes = values
    return PhotoFile(object_name=name, content_type=content_type, width=width, height=height, size_bytes=size_bytes)
