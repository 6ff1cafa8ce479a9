"""Whether every background job is done, and none twice, when the worker is killed again and again under its jobs.

    python -m tests.soak.jobs [--kills 50]

Before each kill there is new work for jobs of every kind: activities whose days in the trash are over, accounts to be
erased, expired keys, changes and archives, exports to be made, files to be deleted, files that belong to nothing; the
jobs come in any order. The worker and its child are killed by SIGKILL while a job runs, equally often for each kind. It
is counted which jobs ran then, and which of them were in the middle, with some of their work done and some not. At the
end PostgreSQL is frozen once and its connections are dropped once, and the time is measured until the worker carries
out jobs again. Exits with 1 if work is left or was done twice, if a file that belongs to something was deleted, if the
worker took longer than 5 s to work again, or if it was never killed during a job of some kind.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psycopg
from ops.local.service import PATIENCE_S, PROGRAM_OF_A_CHECKOUT, engines, environment, own_folder, with_children

from fitness.adapters.embedded.engines import EngineUrls
from fitness.domain.model.jobs import Task
from tests.soak.jobs_given import JOBS_LEFT, Connection, Given, enqueue, rows

BACK_S = 5.0
ATTEMPTS = 20
"""So many for each kill: on a busy machine most jobs have ended before this process has seen them run."""

KILLED_WITHIN_S = 0.005
"""Time within which a running job is killed, for each activity of an account; halved after each miss."""

LAST_WORKER = """
    SELECT coalesce(max(id), 0)
    FROM procrastinate_workers
"""

# Only jobs of the present worker: jobs of killed workers stay `doing` until they are given back.
RUNNING = """
    SELECT task_name
    FROM procrastinate_jobs
    WHERE status = 'doing' AND worker_id > %(worker_id)s
"""

ENQUEUED = """
    SELECT count(*)
    FROM procrastinate_jobs
    WHERE task_name = %(task)s
"""


@dataclass
class Kills:
    """Counts the jobs of each kind that ran when the worker was killed."""

    running: Counter[Task] = field(default_factory=Counter)
    midway: Counter[Task] = field(default_factory=Counter)
    """Running jobs of which some work was seen to be done, and some not."""
    aimed: Counter[Task] = field(default_factory=Counter)
    missed: Counter[Task] = field(default_factory=Counter)
    """How often in a row a job had ended before the kill that was aimed at it."""

    def aim(self) -> Task:
        """The kind to aim at: of those that ran during the fewest kills, the one that was aimed at least often."""
        task = min(Task, key=lambda task: (self.running[task], self.aimed[task], random.random()))
        self.aimed[task] += 1
        return task

    def missing(self) -> list[str]:
        return [f"the worker was never killed while {task} ran" for task in Task if not self.running[task]]


class Worker:
    """`fitness worker`, in a process group of its own, which is killed at the end of a `with`."""

    def __init__(self, urls: EngineUrls, folder: Path) -> None:
        self._environment = environment(
            urls, METRICS_PORT="0", DATA_DIR=str(folder), OBJECTS_URL=f"file://{folder}/objects"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def start(self) -> None:
        program = [*PROGRAM_OF_A_CHECKOUT, "worker"]
        self._process = subprocess.Popen(program, env=self._environment, stderr=sys.stderr, start_new_session=True)

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> float:
        """Stop the worker; how long that took, in seconds."""
        assert self._process is not None
        began_s = time.monotonic()
        self._process.terminate()
        assert self._process.wait(PATIENCE_S) == 0
        return time.monotonic() - began_s


def wait_for(true: Callable[[], bool]) -> float:
    """Wait until `true()`; how long that took, in seconds."""
    began_s = time.monotonic()
    while not true():
        assert time.monotonic() - began_s < 4 * PATIENCE_S
        time.sleep(0.01)
    return time.monotonic() - began_s


def killed_under_jobs(connection: Connection, worker: Worker, given: Given, kills: Kills) -> bool:
    """Once a job of the kind to aim at runs, kill the worker a moment later, and note which jobs ran.

    False if that job had ended by then.
    """
    ((last,),) = rows(connection, LAST_WORKER)
    task = kills.aim()

    def running() -> set[Task]:
        return {Task(name) for (name,) in rows(connection, RUNNING, worker_id=last)}

    def begun_or_over() -> bool:
        return task in running() or not rows(connection, ENQUEUED, task=task)[0][0]

    worker.start()
    wait_for(begun_or_over)
    before = given.left(connection, task)
    time.sleep(random.uniform(0, KILLED_WITHIN_S * given.each / 2 ** kills.missed[task]))
    worker.kill()
    under = running()
    kills.running.update(under)
    kills.missed[task] = 0 if task in under else kills.missed[task] + 1
    if task in under and 0 < given.left(connection, task) < before:
        kills.midway[task] += 1
    return task in under


def frozen(urls: EngineUrls, connection: Connection) -> float:
    """Freeze PostgreSQL for 5 s, then enqueue jobs; the seconds until they are done."""
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
    enqueue(connection)
    return wait_for(lambda: not rows(connection, JOBS_LEFT)[0][0])


def hunted(
    urls: EngineUrls, folder: Path, count: int, size: int, back_s: float = BACK_S
) -> tuple[Given, Kills, list[str]]:
    """The work that was given, the kills, and what is wrong afterwards."""
    given, kills = Given(folder / "objects"), Kills()
    with (
        psycopg.connect(urls.owner_database_url, autocommit=True) as connection,
        Worker(urls, folder) as worker,
    ):
        killed = number = 0
        while killed < count:
            number += 1
            assert number <= ATTEMPTS * count, "jobs end before the worker can be killed"
            given.add(connection, number, size)
            killed += killed_under_jobs(connection, worker, given, kills)
            print(f"\rkilled {killed} times", end="", file=sys.stderr, flush=True)
        worker.start()
        wait_for(lambda: not rows(connection, JOBS_LEFT)[0][0])
        given.grow_old()
        enqueue(connection)
        wait_for(lambda: given.nothing_left(connection))
        found = given.problems(connection)
        for fault in (frozen, dropped):
            took_s = fault(urls, connection)
            print(f"\rback {took_s:.1f} s after PostgreSQL was {fault.__name__}")
            if took_s > back_s:
                found.append(f"after PostgreSQL was {fault.__name__} it took {took_s:.1f} s")
        print(f"stopped in {worker.stop():.1f} s")
    return given, kills, found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--size", type=int, default=60, help="activities of each account")
    asked = options.parse_args()
    with engines() as urls, own_folder() as folder:
        given, kills, found = hunted(urls, folder, asked.kills, asked.size)
    print(f"{asked.kills} kills, and the jobs that each kind had running then (in the middle of its work):")
    print(", ".join(f"{task} {kills.running[task]} ({kills.midway[task]})" for task in Task))
    print(f"{given.in_trash} activities in the trash, {given.departed} accounts with {given.of_departed} to be erased")
    print(f"{given.exports} exports, {len(given.orphans)} files that belonged to nothing, {len(given.kept)} to be kept")
    found += kills.missing()
    for problem in found:
        print(problem)
    if found:
        sys.exit(1)


if __name__ == "__main__":
    main()
