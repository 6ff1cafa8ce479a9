"""Makes work for background jobs of every kind, counts how much is left, and checks the effects.

The work is written as rows and files, as requests of long ago would have left them.
"""

import io
import json
import os
import time
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from fitness.domain.model.exports import ExportState
from fitness.domain.model.jobs import EVERY, Task
from fitness.domain.model.objects import UNNAMED_FOR, new_name

EXPORTS_EACH = 5
"""In each round, as many people ask for an export, have an export that is over, and have files of live activities."""

FILES_EACH = 4
"""Parts of an archive whose export is over."""

Connection = psycopg.Connection[tuple[Any, ...]]

USERS = """
    INSERT INTO users (email, password_hash, timezone, created_at, updated_at, deleted_at)
    SELECT %(name)s || number || '@example.org', '-', 'UTC', now(), now(), %(deleted_at)s::timestamptz
    FROM generate_series(1, %(count)s) AS number
    RETURNING id
"""

ACTIVITIES = """
    INSERT INTO activities (
        user_id, version, activity_type, activity_date, timezone, local_date, duration_minutes, source, created_at,
        updated_at, deleted_at
    )
    SELECT owner, 1, 'run', now(), 'UTC', current_date, 30, 'manual', now(), now(), %(deleted_at)s::timestamptz
    FROM unnest(%(owners)s::bigint[]) AS owner, generate_series(1, %(each)s)
    RETURNING id
"""

ORIGINALS = """
    WITH given AS (
        SELECT activities.id, user_id, object_name
        FROM unnest(%(ids)s::bigint[], %(names)s::text[]) AS pairs (id, object_name)
        JOIN activities ON activities.id = pairs.id
    ), stored AS (
        INSERT INTO originals (user_id, object_name, media_type, size_bytes, home_timezone, made, warnings, stored_at)
        SELECT user_id, object_name, 'application/gpx+xml', 1, 'UTC', 1, '{}', now()
        FROM given
        RETURNING id, object_name
    )
    INSERT INTO readings (activity_id, original_id, number, details)
    SELECT given.id, stored.id, 0, '{}'
    FROM given
    JOIN stored USING (object_name)
"""

KEYS = """
    INSERT INTO idempotency_keys (user_id, key, fingerprint, activity_id, answer, created_at)
    SELECT user_id, 'key-' || id, '-', id, '{}', now() - interval '25 hours'
    FROM activities
    WHERE id = ANY(%(ids)s)
"""

CHANGES = """
    WITH counter AS (
        INSERT INTO change_counters (user_id, last_seq)
        SELECT owner, %(each)s
        FROM unnest(%(owners)s::bigint[]) AS owner
    )
    INSERT INTO activity_changes (user_id, seq, activity_id, version, at, kind)
    SELECT owner, seq, 1, 1, now() - interval '91 days', 'created'
    FROM unnest(%(owners)s::bigint[]) AS owner, generate_series(1, %(each)s) AS seq
"""

EXPORTS_OVER = """
    WITH made AS (
        INSERT INTO exports (user_id, requested_at, ready_at, expires_at, size_bytes)
        SELECT owner, now() - interval '26 hours', now() - interval '25 hours', now() - interval '1 hour', 1
        FROM unnest(%(owners)s::bigint[]) AS owner
        RETURNING id
    ), numbered AS (
        SELECT id, row_number() OVER (ORDER BY id) AS place
        FROM made
    )
    INSERT INTO export_parts (export_id, number, object_name)
    SELECT id, number, (%(names)s::text[])[(place - 1) * %(each)s + number]
    FROM numbered, generate_series(1, %(each)s) AS number
"""

RELEASED = """
    INSERT INTO released_objects (object_name)
    SELECT unnest(%(names)s::text[])
"""

EXPORTS = """
    WITH asked AS (
        INSERT INTO exports (user_id, requested_at)
        SELECT owner, now()
        FROM unnest(%(owners)s::bigint[]) AS owner
        RETURNING user_id
    )
    INSERT INTO procrastinate_jobs (queue_name, task_name, args)
    SELECT 'prompt', 'export', jsonb_build_object('user_id', user_id)
    FROM asked
"""

JOBS = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock)
    SELECT 'upkeep', task, task
    FROM unnest(%(tasks)s::text[]) AS task
    ORDER BY random()
"""

JOBS_LEFT: LiteralString = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"

MADE = """
    SELECT size_bytes, ARRAY(SELECT object_name FROM export_parts WHERE export_id = exports.id ORDER BY number)
    FROM exports
"""

LEFT: dict[Task, LiteralString] = {
    Task.EXPORT: "SELECT count(*) FROM exports WHERE ready_at IS NULL",
    Task.EMPTY_TRASH: "SELECT count(*) FROM activities WHERE deleted_at < now() - interval '30 days'",
    Task.ERASE_ACCOUNTS: """
        SELECT count(*) + count(DISTINCT users.id)
        FROM users
        LEFT JOIN activities ON user_id = users.id
        WHERE users.deleted_at < now() - interval '31 days'
    """,
    Task.FORGET_EXPIRED: """
        SELECT
            (SELECT count(*) FROM idempotency_keys WHERE created_at < now() - interval '24 hours')
            + (SELECT count(*) FROM activity_changes WHERE at < now() - interval '90 days')
            + (SELECT count(*) FROM exports WHERE expires_at < now())
    """,
    Task.DELETE_OBJECTS: "SELECT count(*) FROM released_objects",
}
"""Queries for the work left of each kind, except for files that belong to nothing, which are only in the folder."""

NAMED = """
    SELECT object_name
    FROM originals
    UNION ALL
    SELECT object_name
    FROM export_parts
"""

LOGGED = """
    SELECT action, count(*), count(DISTINCT subject_id)
    FROM audit_log
    GROUP BY action
    ORDER BY action
"""

PURGED_CHANGES = """
    SELECT count(*), count(DISTINCT activity_id)
    FROM activity_changes
    WHERE kind = 'purged'
"""

FAILED = """
    SELECT task_name, count(*)
    FROM procrastinate_jobs
    WHERE status NOT IN ('todo', 'doing')
    GROUP BY task_name
"""


@dataclass
class Given:
    """The work that was given to the jobs, and the files that they must leave alone."""

    objects: Path
    in_trash: int = 0
    of_departed: int = 0
    departed: int = 0
    exports: int = 0
    each: int = 0
    """Live activities of each user who asked for an export."""
    orphans: list[str] = field(default_factory=list)
    """Old files that belong to nothing."""
    kept: set[str] = field(default_factory=set)
    """Files that no job may delete: those of live activities, and those whose rows may still come."""

    def add(self, connection: Connection, number: int, size: int) -> None:
        """Work for jobs of every kind, and a job of each kind, in any order."""
        with connection.transaction():
            ((long_ago,),) = rows(connection, "SELECT now() - interval '40 days'")
            living = _ids(connection, USERS, name=f"l{number}-", count=20, deleted_at=None)
            departed = _ids(connection, USERS, name=f"d{number}-", count=5, deleted_at=long_ago)
            asking = living[:EXPORTS_EACH]  # a purge of the owner's data would end the archive
            trashed = _ids(connection, ACTIVITIES, owners=living[EXPORTS_EACH:], each=size, deleted_at=long_ago)
            kept = _ids(connection, ACTIVITIES, owners=living, each=size, deleted_at=None)
            left = _ids(connection, ACTIVITIES, owners=departed, each=size, deleted_at=None)
            self._add_files(connection, trashed, kept, long_ago)
            over = living[EXPORTS_EACH : 2 * EXPORTS_EACH]
            parts = self._files(FILES_EACH * len(over), long_ago)
            _run(connection, EXPORTS_OVER, owners=over, names=parts, each=FILES_EACH)
            _run(connection, RELEASED, names=self._files(5 * size, long_ago))
            self.orphans += self._files(10 * size, long_ago)
            _run(connection, KEYS, ids=kept)
            _run(connection, CHANGES, owners=living, each=size)
            _run(connection, EXPORTS, owners=asking)
            enqueue(connection)
        self.exports += len(asking)
        self.each = size
        self.in_trash += len(trashed)
        self.of_departed += len(left)
        self.departed += len(departed)

    def left(self, connection: Connection, task: Task) -> int:
        if task is Task.SWEEP_OBJECTS:
            return sum((self.objects / name).exists() for name in self.orphans)
        ((count,),) = rows(connection, LEFT[task])
        return int(count)

    def nothing_left(self, connection: Connection) -> bool:
        return not rows(connection, JOBS_LEFT)[0][0] and not any(self.left(connection, task) for task in Task)

    def grow_old(self) -> None:
        """Age the files without a row that killed jobs left, so that the sweep deletes them."""
        for name in self.stored() - self.kept:
            _set_age(self.objects / name, 2 * UNNAMED_FOR)

    def stored(self) -> set[str]:
        return {str(path.relative_to(self.objects)) for path in self.objects.glob("??/*")}

    def problems(self, connection: Connection) -> list[str]:
        """What is wrong, once no work is left."""
        return [*self._of_rows(connection), *self._of_exports(connection), *self._of_files(connection)]

    def _of_rows(self, connection: Connection) -> Iterable[str]:
        logged = {action: (count, subjects) for action, count, subjects in rows(connection, LOGGED)}
        purged = self.in_trash + self.of_departed
        expected = {"activity_purged": (purged, purged), "user_erased": (self.departed, self.departed)}
        if logged != expected:
            yield f"logged were {logged}, and not {expected}"
        ((changes, activities),) = rows(connection, PURGED_CHANGES)
        if not changes == activities == self.in_trash:
            yield f"{changes} entries of the change log are of {activities} purges, and not {self.in_trash}"
        if failed := rows(connection, FAILED):
            yield f"jobs that failed for good: {failed}"

    def _of_exports(self, connection: Connection) -> Iterable[str]:
        made = rows(connection, MADE)
        if len(made) != self.exports:
            yield f"{len(made)} exports are {ExportState.READY}, and not {self.exports}"
        for size, names in made:
            yield from self._of_archive(size, names)

    def _of_archive(self, size: int, names: list[str]) -> Iterable[str]:
        try:
            content = b"".join((self.objects / name).read_bytes() for name in names)
        except FileNotFoundError:
            return  # `_of_files` reports it
        if len(content) != size:
            yield f"an archive of {size} bytes has {len(content)}"
            return
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            kept = len(json.loads(archive.read("activities.json")))
            if archive.testzip() is not None or kept != self.each:
                yield f"an archive has {kept} activities"

    def _of_files(self, connection: Connection) -> Iterable[str]:
        stored, named = self.stored(), {name for (name,) in rows(connection, NAMED)}
        if lost := (self.kept | named) - stored:
            yield f"{len(lost)} files were deleted that belong to something"
        if orphaned := stored - named - self.kept:
            yield f"{len(orphaned)} files are left that belong to nothing"

    def _add_files(self, connection: Connection, trashed: list[int], kept: list[int], long_ago: datetime) -> None:
        """Add files of some trashed and some live activities, and one that was stored just now."""
        some = len(trashed) // 4
        _run(connection, ORIGINALS, ids=trashed[:some], names=self._files(some, long_ago))
        names = self._files(EXPORTS_EACH, long_ago)
        _run(connection, ORIGINALS, ids=kept[-EXPORTS_EACH:], names=names)
        self.kept |= {*names, *self._files(1, None)}

    def _files(self, count: int, stored_at: datetime | None) -> list[str]:
        names = [new_name(b"-") for _ in range(count)]
        for name in names:
            path = self.objects / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"-")
            if stored_at is not None:
                os.utime(path, (stored_at.timestamp(), stored_at.timestamp()))
        return names


def enqueue(connection: Connection) -> None:
    """Enqueue a job of each kind that the clock enqueues, in any order."""
    _run(connection, JOBS, tasks=[*EVERY])


def rows(connection: Connection, query: LiteralString, **parameters: Any) -> Sequence[tuple[Any, ...]]:
    return connection.execute(query, parameters or None).fetchall()


def _run(connection: Connection, query: LiteralString, **parameters: Any) -> None:
    connection.execute(query, parameters)


def _ids(connection: Connection, query: LiteralString, **parameters: Any) -> list[int]:
    return [row[0] for row in rows(connection, query, **parameters)]


def _set_age(path: Path, age: timedelta) -> None:
    then_s = time.time() - age.total_seconds()
    os.utime(path, (then_s, then_s))
