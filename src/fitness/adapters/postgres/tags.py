"""Tags in PostgreSQL, read from the index of the lists."""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

from fitness.adapters.postgres.activity_listing import filter_parameters, narrowed
from fitness.adapters.postgres.database import Database
from fitness.adapters.postgres.messages import carrying, held_parameters
from fitness.domain.model.changes import ChangeKind
from fitness.domain.model.listings import ActivityFilter
from fitness.domain.model.tags import MOST_LISTED, TagCount
from fitness.ports.messages import Messages

# Each tag of an entry stands between two separators: without those at both ends, the text splits into the tags.
COUNTS = r"""
    SELECT tag, count(*) AS activities
    FROM live_activities, LATERAL unnest(
        CASE WHEN search_tags IS NULL
            THEN (SELECT kept.tags FROM activities AS kept WHERE kept.id = live_activities.id)
            ELSE string_to_array(trim(BOTH E'\x1f' FROM search_tags), E'\x1f')
        END
    ) AS tag
    WHERE user_id = %(owner)s
    GROUP BY tag
    ORDER BY activities DESC, tag COLLATE "C"
    LIMIT %(most)s
"""

IN_TRASH = """
    SELECT id
    FROM activities
    WHERE user_id = %(owner)s AND deleted_at IS NOT NULL AND tags @> %(tags)s
"""

REPLACE = carrying(
    """
    UPDATE activities
    SET tags = CASE WHEN %(instead)s::text IS NULL OR tags @> ARRAY[%(instead)s::text]
            THEN array_remove(tags, %(tag)s)
            ELSE array_replace(tags, %(tag)s, %(instead)s)
        END,
        version = version + 1, updated_at = %(at)s
    WHERE id = ANY(%(ids)s) AND user_id = %(owner)s AND tags @> ARRAY[%(tag)s::text]
    RETURNING id, user_id, version, updated_at
    """,
    returning="id",
    logged=ChangeKind.UPDATED,
    several=True,
    held=True,
)


class PostgresTagRepo:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, owner: int) -> Sequence[TagCount]:
        rows = await self._database.all(COUNTS, {"owner": owner, "most": MOST_LISTED})
        return [TagCount(*row) for row in rows]

    async def tagged(self, owner: int, tag: str, *, most: int) -> Sequence[int]:
        which = ActivityFilter(tags=(tag,))
        query: LiteralString = f"""
            SELECT id
            FROM (
                SELECT id FROM live_activities WHERE {" AND ".join(narrowed(which))}
                UNION ALL
                ({IN_TRASH})
            ) AS found
            ORDER BY id
            LIMIT %(most)s
        """
        rows = await self._database.all(query, filter_parameters(owner, which) | {"most": most})
        return [number for (number,) in rows]

    async def replace(
        self, owner: int, tag: str, *, instead: str | None, ids: Sequence[int], at: datetime, messages: Messages
    ) -> int:
        parameters = {"owner": owner, "tag": tag, "instead": instead, "ids": [*ids], "at": at}
        return len(await self._database.all(REPLACE, parameters | held_parameters(messages)))
