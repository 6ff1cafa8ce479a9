"""`fitness worker` as an operator runs it, beside the commands for jobs, on engines that are there already."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg
import pytest
from ops.local.network import free_port
from ops.local.service import PROGRAM_OF_A_CHECKOUT, environment, with_children

from fitness.adapters.embedded.engines import EngineUrls
from fitness.domain.model.jobs import Task
from tests.harness.service import mistake
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.engines


@pytest.fixture
def metrics_port() -> int:
    return free_port()


@pytest.fixture
def settings(engines: EngineUrls, database_url: str, folder: Path, metrics_port: int) -> dict[str, str]:
    urls = replace(engines, database_url=database_url)
    return environment(urls, METRICS_PORT=str(metrics_port), DATA_DIR=str(folder))


@pytest.fixture
def worker(settings: dict[str, str], metrics_port: int) -> Iterator["subprocess.Popen[str]"]:
    """One that works, as its metrics say."""
    program = [*PROGRAM_OF_A_CHECKOUT, "worker"]
    process = subprocess.Popen(program, env=settings, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_until(lambda: processed(metrics_port) is not None)
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up_s
        time.sleep(0.05)


def processed(metrics_port: int) -> dict[str, float] | None:
    """Runs that succeeded, by task; None while nobody answers."""
    try:
        lines = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text.splitlines()
    except httpx.TransportError:
        return None
    found = [line for line in lines if line.startswith("background_jobs_processed_total") and "succeeded" in line]
    return {line.partition('task="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in found}


def command(settings: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = [*PROGRAM_OF_A_CHECKOUT, *arguments]
    return subprocess.run(program, env=settings, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def enqueue(owner_url: str, task: str) -> int:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        query = "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('upkeep', %s) RETURNING id"
        (job_id,) = connection.execute(query, [task]).fetchone() or (0,)
        return int(job_id)


def test_it_works_off_jobs_shows_how_many_and_stops_when_it_is_told_to(
    worker: "subprocess.Popen[str]", metrics_port: int, owner_url: str
):
    before = processed(metrics_port)
    assert before is not None
    assert before.keys() == {*Task}
    enqueue(owner_url, Task.FORGET_EXPIRED)
    wait_until(lambda: (processed(metrics_port) or {}).get(Task.FORGET_EXPIRED, 0) > before[Task.FORGET_EXPIRED])
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    with psycopg.connect(owner_url) as connection:
        assert connection.execute("SELECT count(*) FROM procrastinate_workers").fetchone() == (0,)


def test_a_process_of_it_that_dies_is_replaced(worker: "subprocess.Popen[str]", metrics_port: int, owner_url: str):
    (_, child) = with_children(worker.pid)[:2]
    subprocess.run(["kill", "-9", str(child)], check=True)
    wait_until(lambda: child not in with_children(worker.pid) and len(with_children(worker.pid)) >= 2)
    enqueue(owner_url, Task.FORGET_EXPIRED)
    wait_until(lambda: (processed(metrics_port) or {}).get(Task.FORGET_EXPIRED, 0) > 0)


def test_jobs_are_listed_cancelled_and_retried(settings: dict[str, str], owner_url: str):
    job_id = enqueue(owner_url, "of_another_version")
    listed = command(settings, "jobs", "list")
    assert listed.stdout == f"{job_id}\tof_another_version\tupkeep\twaiting\t0\tnow\t\n"
    assert command(settings, "jobs", "cancel", str(job_id)).returncode == 0
    again = command(settings, "jobs", "cancel", str(job_id))
    assert mistake(again) == (1, f"Error: there is no waiting job {job_id}; one that runs goes on\n")
    assert "cancelled" in command(settings, "jobs", "list", "--status", "cancelled").stdout
    assert command(settings, "jobs", "list", "--status", "waiting").stdout == ""
    assert command(settings, "jobs", "retry", str(job_id)).returncode == 0
    assert command(settings, "jobs", "retry", str(job_id)).returncode == 1
    assert "waiting" in command(settings, "jobs", "list").stdout


def test_in_memory_there_is_nothing_for_it_to_do(settings: dict[str, str]):
    memory = {"FITNESS_DATABASE_URL": "memory:", "FITNESS_REDIS_URL": "memory:", "FITNESS_STATE_REDIS_URL": ""}
    refused = command(settings | memory, "worker")
    assert refused.returncode == 1
    assert "works off its jobs itself" in refused.stderr
