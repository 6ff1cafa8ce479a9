"""Whether every background job is done, and none twice, when the worker is killed again and again under its jobs.

    python -m tests.soak.jobs [--kills 50]

Before each kill there is new work for jobs of every kind: activities whose days in the trash are over, accounts to be
erased, keys and changes to be forgotten, exports to be made; the jobs come in any order. The worker and its child are
killed by SIGKILL while one of the jobs runs. At the end PostgreSQL is frozen once and its connections are dropped once,
and the time is measured until the worker carries out jobs again. Ends with 1 if anything is left, was done twice, or
took longer than 5 s.
"""

import argparse
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from ops.local.service import PATIENCE_S, PROGRAM_OF_A_CHECKOUT, engines, environment, own_folder, with_children

from fitness.adapters.embedded.engines import EngineUrls

BACK_S = 5.0
EXPORTS_EACH = 5

NOTHING = (0,) * 6

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

JOBS = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock)
    SELECT 'upkeep', task, task
    FROM unnest(ARRAY['empty_trash', 'erase_accounts', 'forget_expired']) AS task
    ORDER BY random()
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

MADE = """
    SELECT size_bytes, ARRAY(SELECT object_name FROM export_parts WHERE export_id = exports.id ORDER BY number)
    FROM exports
"""

LEFT = """
    SELECT
        (SELECT count(*) FROM activities WHERE deleted_at < now() - interval '30 days'),
        (SELECT count(*) FROM users WHERE deleted_at < now() - interval '31 days'),
        (SELECT count(*) FROM idempotency_keys WHERE created_at < now() - interval '24 hours'),
        (SELECT count(*) FROM activity_changes WHERE at < now() - interval '90 days'),
        (SELECT count(*) FROM exports WHERE ready_at IS NULL),
        (SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))
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


@dataclass
class Given:
    """What was there for the jobs to do."""

    in_trash: int = 0
    of_departed: int = 0
    departed: int = 0
    exports: int = 0
    each: int = 0
    """Live activities of each who asked for an export."""


class Worker:
    """`fitness worker`, in a process group of its own."""

    def __init__(self, urls: EngineUrls, folder: Path) -> None:
        self._environment = environment(
            urls, METRICS_PORT="0", DATA_DIR=str(folder), OBJECTS_URL=f"file://{folder}/objects"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = [*PROGRAM_OF_A_CHECKOUT, "worker"]
        self._process = subprocess.Popen(program, env=self._environment, stderr=sys.stderr, start_new_session=True)

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> float:
        """How long that took."""
        assert self._process is not None
        began_s = time.monotonic()
        self._process.terminate()
        assert self._process.wait(PATIENCE_S) == 0
        return time.monotonic() - began_s


def add_work(connection: Connection, number: int, given: Given, size: int) -> None:
    long_ago = "now"
    with connection.transaction():
        (long_ago,) = connection.execute("SELECT now() - interval '40 days'").fetchone() or ("",)
        living = [row[0] for row in _all(connection, USERS, name=f"l{number}-", count=20, deleted_at=None)]
        departed = [row[0] for row in _all(connection, USERS, name=f"d{number}-", count=5, deleted_at=long_ago)]
        trashed = _all(connection, ACTIVITIES, owners=living, each=size, deleted_at=long_ago)
        kept = [row[0] for row in _all(connection, ACTIVITIES, owners=living, each=size, deleted_at=None)]
        left = _all(connection, ACTIVITIES, owners=departed, each=size, deleted_at=None)
        connection.execute(KEYS, {"ids": kept})
        connection.execute(CHANGES, {"owners": living, "each": size})
        connection.execute(EXPORTS, {"owners": living[:EXPORTS_EACH]})
        connection.execute(JOBS)
    given.exports += len(living[:EXPORTS_EACH])
    given.each = size
    given.in_trash += len(trashed)
    given.of_departed += len(left)
    given.departed += len(departed)


def wait_for(connection: Connection, query: str, true: Callable[[tuple[Any, ...]], bool]) -> float:
    """How long it took until that is true of the query's only row."""
    began_s = time.monotonic()
    while True:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        if true(row):
            return time.monotonic() - began_s
        assert time.monotonic() - began_s < 4 * PATIENCE_S, row
        time.sleep(0.02)


def killed_under_jobs(connection: Connection, worker: Worker, seen: dict[str, int]) -> None:
    """Once a job of a worker that lives runs, kill it a moment later; which jobs that was under is noted."""
    running = """
        SELECT count(*)
        FROM procrastinate_jobs
        JOIN procrastinate_workers AS worker ON worker.id = worker_id
        WHERE status = 'doing' AND last_heartbeat > clock_timestamp() - interval '2 seconds'
    """
    wait_for(connection, running, lambda row: row[0] > 0)
    time.sleep(random.uniform(0, 0.5))
    worker.kill()
    for (task,) in _all(connection, "SELECT task_name FROM procrastinate_jobs WHERE status = 'doing'"):
        seen[task] = seen.get(task, 0) + 1


def frozen(urls: EngineUrls, connection: Connection) -> float:
    """PostgreSQL stands still for 5 s, and a job is enqueued when it goes on. Until that is done."""
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    pids = with_children(parent)
    for one in pids:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGSTOP)
    time.sleep(5.0)
    for one in pids:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGCONT)
    return done_again(connection)


def dropped(urls: EngineUrls, connection: Connection) -> float:
    with psycopg.connect(urls.owner_database_url, autocommit=True) as owner:
        owner.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> ALL(%s)",
            [[owner.info.backend_pid, connection.info.backend_pid]],
        )
    return done_again(connection)


def done_again(connection: Connection) -> float:
    connection.execute(JOBS)
    return wait_for(
        connection, "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')", lambda row: not row[0]
    )


def problems(connection: Connection, given: Given, objects: Path) -> list[str]:
    logged = {action: (count, subjects) for action, count, subjects in _all(connection, LOGGED)}
    purged = given.in_trash + given.of_departed
    expected = {"activity_purged": (purged, purged), "user_erased": (given.departed, given.departed)}
    found = [] if logged == expected else [f"logged were {logged}, and not {expected}"]
    (changes, activities) = connection.execute(PURGED_CHANGES).fetchone() or (0, 0)
    if not changes == activities == given.in_trash:
        found.append(f"{changes} entries of the change log are of {activities} purges, and not {given.in_trash}")
    left = connection.execute(LEFT).fetchone()
    if left != NOTHING:
        found.append(f"left of activities, accounts, keys, changes, exports and jobs are {left}")
    made = _all(connection, MADE)
    if len(made) != given.exports:
        found.append(f"{len(made)} exports were made of {given.exports}")
    return [*found, *(problem for size, names in made for problem in wrong_with(objects, size, names, given.each))]


def wrong_with(objects: Path, size: int, names: list[str], activities: int) -> list[str]:
    """Of an archive that is kept in these parts."""
    content = b"".join((objects / name).read_bytes() for name in names)
    if len(content) != size:
        return [f"an archive of {size} bytes has {len(content)}"]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        kept = len(json.loads(archive.read("activities.json")))
        return [] if archive.testzip() is None and kept == activities else [f"an archive has {kept} activities"]


def hunted(urls: EngineUrls, folder: Path, kills: int, size: int) -> tuple[Given, dict[str, int], list[str]]:
    """What there was to do, under which jobs the worker was killed, and what is wrong after."""
    given, seen, worker = Given(), dict[str, int](), Worker(urls, folder)
    with psycopg.connect(urls.owner_database_url, autocommit=True) as connection:
        for number in range(kills):
            add_work(connection, number, given, size)
            worker.start()
            killed_under_jobs(connection, worker, seen)
            print(f"\rkilled {number + 1} times", end="", file=sys.stderr, flush=True)
        worker.start()
        wait_for(connection, LEFT, lambda row: row == NOTHING)
        found = problems(connection, given, folder / "objects")
        for fault in (frozen, dropped):
            took_s = fault(urls, connection)
            print(f"\rback {took_s:.1f} s after PostgreSQL was {fault.__name__}")
            if took_s > BACK_S:
                found.append(f"after PostgreSQL was {fault.__name__} it took {took_s:.1f} s")
        print(f"stopped in {worker.stop():.1f} s")
    return given, seen, found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--size", type=int, default=60, help="activities of each account")
    asked = options.parse_args()
    with engines() as urls, own_folder() as folder:
        given, seen, found = hunted(urls, folder, asked.kills, asked.size)
    print(f"{asked.kills} kills, under jobs that ran: {seen}")
    print(f"{given.in_trash} activities in the trash, {given.departed} accounts with {given.of_departed} to be erased")
    print(f"{given.exports} exports")
    for problem in found:
        print(problem)
    if found:
        sys.exit(1)


def _all(connection: Connection, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), parameters).fetchall()


if __name__ == "__main__":
    main()
