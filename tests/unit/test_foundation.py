"""Supervised tasks and killable processes."""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from contextvars import ContextVar
from dataclasses import replace

import pytest

from fitness.foundation.processes import KillableProcesses, OutOfMemory, OutOfTime, ProcessKilled, ProcessLimits
from fitness.foundation.tasks import SupervisedTasks

LIMITS = ProcessLimits(at_once=1, timeout_s=1, memory_bytes=512 * 1024**2)


class TestSupervisedTasks:
    async def test_a_task_is_kept_until_it_ends(self):
        tasks, ended = SupervisedTasks(), asyncio.Event()

        async def work() -> None:
            await asyncio.sleep(0)
            ended.set()

        tasks.start(work())
        gc.collect(1)  # the task is young; a look at all there is takes long
        assert len(tasks) == 1
        await ended.wait()
        await asyncio.sleep(0)
        assert len(tasks) == 0

    async def test_work_for_all_is_in_no_ones_context(self):
        name: ContextVar[str] = ContextVar("name")
        name.set("a request")

        async def seen() -> str | None:
            return name.get(None)

        tasks = SupervisedTasks()
        assert await tasks.start(seen()) == "a request"
        assert await tasks.start_for_all(seen()) is None

    async def test_a_failure_that_nobody_awaits_is_logged(self, caplog: pytest.LogCaptureFixture):
        tasks = SupervisedTasks()

        async def fail() -> None:
            raise ValueError("broken")

        tasks.start(fail())
        await asyncio.sleep(0.01)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert str(record.exc_info[1]) == "broken"

    async def test_a_failure_of_an_awaited_task_is_its_callers(self, caplog: pytest.LogCaptureFixture):
        async def fail() -> None:
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            await SupervisedTasks().start(fail(), log_errors=False)
        assert caplog.records == []

    async def test_closing_cancels_what_runs_and_waits_for_it(self):
        tasks, tidied = SupervisedTasks(), []

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                tidied.append(True)

        tasks.start(work())
        await asyncio.sleep(0)
        await tasks.close()
        assert tidied == [True]


def misbehave(how: str) -> str:
    if how == "sleep":
        time.sleep(60)
    if how == "grow":
        bytearray(1024**3)
    if how == "refuse":
        raise LookupError("refused")
    if how == "begun":
        return f"begun: {os.environ.get('FITNESS_TEST_BEGUN')}"
    return f"{how} in {os.getpid()}"


def begin() -> None:
    os.environ["FITNESS_TEST_BEGUN"] = "1"


@pytest.fixture(scope="module")
def processes() -> Iterator[KillableProcesses[str, str]]:
    """One pool where that does, since each process takes a moment to start."""
    with closing(KillableProcesses(misbehave, LIMITS, begin)) as processes:
        yield processes


class TestKillableProcesses:
    async def test_a_result_and_a_refusal_come_back(self, processes: KillableProcesses[str, str]):
        (result,) = await asyncio.gather(processes.run("work"))
        assert result == f"work in {processes.pids()[0]}"
        with pytest.raises(LookupError, match="refused"):
            await processes.run("refuse")

    async def test_a_call_that_takes_too_much_memory_is_ended_and_the_next_one_works(
        self, processes: KillableProcesses[str, str]
    ):
        with pytest.raises(OutOfMemory):
            await processes.run("grow")
        assert await processes.run("work")

    async def test_each_process_begins_with_on_start(self, processes: KillableProcesses[str, str]):
        assert await processes.run("begun") == "begun: 1"

    async def test_after_a_kill_the_calls_under_way_fail_and_the_next_one_works(
        self, processes: KillableProcesses[str, str]
    ):
        await processes.run("work")
        calls = [asyncio.ensure_future(processes.run("sleep")) for _ in range(3)]
        await asyncio.sleep(0.1)
        os.kill(processes.pids()[0], signal.SIGKILL)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [ProcessKilled] * 3
        assert await processes.run("work")

    async def test_a_call_that_takes_too_long_is_ended_and_the_next_one_works(self):
        with closing(KillableProcesses(misbehave, replace(LIMITS, timeout_s=0.2), begin)) as processes:
            with pytest.raises(OutOfTime):
                await processes.run("sleep")
            assert await processes.run("work")
