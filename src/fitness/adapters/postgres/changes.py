"""The change log in PostgreSQL."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import LiteralString

from fitness.adapters.postgres.activity_rows import COLUMNS, activity_of
from fitness.adapters.postgres.database import Database, Row
from fitness.domain.model.changes import Change, ChangeKind, ChangePage

_OF_LIVE: LiteralString = ", ".join(f"live.{name.strip()}" for name in COLUMNS.split(","))

# One statement, so that all rows are of one moment. Both tables are filtered by owner: an activity of another user is
# never shown, whatever the log says.
AFTER = f"""
    SELECT
        counter.last_seq, counter.trimmed_seq, entry.seq, entry.kind, entry.activity_id, entry.version, entry.at,
        {_OF_LIVE}
    FROM change_counters AS counter
    LEFT JOIN LATERAL (
        SELECT seq, kind, activity_id, version, at
        FROM activity_changes
        WHERE user_id = %(owner)s AND seq > %(seq)s
        ORDER BY seq
        LIMIT %(most)s
    ) AS entry ON true
    LEFT JOIN live_activities AS live ON live.id = entry.activity_id AND live.user_id = %(owner)s
    WHERE counter.user_id = %(owner)s
    ORDER BY entry.seq
"""

LAST = """
    SELECT user_id, last_seq
    FROM change_counters
    WHERE user_id = ANY(%(owners)s)
"""

# The counters are locked before the entries are deleted, and in the order in which every change locks them.
TRIM = """
    WITH old AS (
        SELECT user_id, seq
        FROM activity_changes
        WHERE at < %(before)s
        ORDER BY at, user_id, seq
        LIMIT %(most)s
    ), counters AS (
        INSERT INTO change_counters AS counter (user_id, last_seq, trimmed_seq)
        SELECT user_id, max(seq), max(seq)
        FROM old
        GROUP BY user_id
        ORDER BY user_id
        ON CONFLICT (user_id) DO UPDATE
        SET trimmed_seq = greatest(counter.trimmed_seq, excluded.trimmed_seq)
        RETURNING user_id
    )
    DELETE FROM activity_changes AS entry
    USING old, counters
    WHERE entry.user_id = old.user_id AND entry.seq = old.seq AND counters.user_id = old.user_id
    RETURNING entry.seq
"""

FORGET = """
    DELETE FROM activity_changes
    WHERE user_id = %(owner)s AND seq <= (
        SELECT max(seq)
        FROM (SELECT seq FROM activity_changes WHERE user_id = %(owner)s ORDER BY seq LIMIT %(most)s) AS first
    )
    RETURNING seq
"""

FORGET_NUMBERS = """
    DELETE FROM change_counters
    WHERE user_id = %(owner)s AND NOT EXISTS (SELECT FROM activity_changes WHERE user_id = %(owner)s)
    RETURNING user_id
"""


class PostgresChangeLog:
    """Entries are written by the statements that `carrying` makes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(self, owner: int, seq: int, *, most: int) -> ChangePage:
        rows = await self._database.all(AFTER, {"owner": owner, "seq": seq, "most": most})
        if not rows:  # nothing of this owner has ever changed
            return ChangePage((), 0)
        return ChangePage(tuple(_change(row) for row in rows if row[2] is not None), rows[0][0], rows[0][1])

    async def last(self, owners: Iterable[int]) -> Mapping[int, int]:
        return dict(await self._database.all(LAST, {"owners": [*owners]}))

    async def trim(self, before: datetime, *, most: int) -> int:
        return len(await self._database.all(TRIM, {"before": before, "most": most}))

    async def forget(self, owner: int, *, most: int) -> int:
        gone = len(await self._database.all(FORGET, {"owner": owner, "most": most}))
        if gone < most:
            await self._database.all(FORGET_NUMBERS, {"owner": owner})
        return gone


def _change(row: Row) -> Change:
    seq, kind, activity_id, version, at = row[2:7]
    activity = None if row[7] is None else activity_of(row[7:])
    return Change(seq, ChangeKind(kind), activity_id, version, at, activity)
