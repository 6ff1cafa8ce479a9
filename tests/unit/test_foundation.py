"""Supervised tasks and killable processes."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from contextvars import ContextVar
from dataclasses import replace

import pytest

from fitness.foundation.processes import KillableProcesses, OutOfMemory, OutOfTime, ProcessKilled, ProcessLimits
from fitness.foundation.tasks import SupervisedTasks
from tests.unit.misbehaving import begin, misbehave

LIMITS = ProcessLimits(at_once=1, cpu_s=5, timeout_s=60, memory_bytes=128 * 1024**2)


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

    async def test_what_a_call_leaves_behind_is_none_of_the_next_ones_memory(
        self, processes: KillableProcesses[str, str]
    ):
        pids = {(await processes.run("leave a cycle")).rpartition(" ")[2] for _ in range(8)}
        assert len(pids) == 1

    @pytest.mark.parametrize("how", ["grow", "grow to the last byte"])
    async def test_a_call_that_takes_too_much_memory_is_ended_and_the_next_one_works(
        self, processes: KillableProcesses[str, str], how: str
    ):
        with pytest.raises(OutOfMemory):
            await processes.run(how)
        assert await processes.run("work")

    async def test_each_process_begins_with_on_start(self, processes: KillableProcesses[str, str]):
        assert await processes.run("begun") == "begun: 1"

    async def test_after_a_kill_the_call_under_way_fails_and_those_that_wait_go_on(
        self, processes: KillableProcesses[str, str]
    ):
        await processes.run("work")
        under_way = asyncio.ensure_future(processes.run("sleep"))
        waiting = asyncio.ensure_future(processes.run("work"))
        await asyncio.sleep(0)
        os.kill(processes.pids()[0], signal.SIGKILL)
        with pytest.raises(ProcessKilled):
            await under_way
        assert await waiting

    async def test_a_process_that_died_while_idle_is_not_asked(self, processes: KillableProcesses[str, str]):
        await processes.run("work")
        (pid,) = processes.pids()
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert await processes.run("work") != f"work in {pid}"

    async def test_a_call_that_is_cancelled_ends_with_its_process(self, processes: KillableProcesses[str, str]):
        await processes.run("work")
        (pid,) = processes.pids()
        call = asyncio.ensure_future(processes.run("sleep"))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert processes.pids() == []
        with suppress(ChildProcessError):  # somebody waits for it as well, and may be the first
            await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    async def test_a_call_that_waits_and_is_cancelled_never_runs(self, processes: KillableProcesses[str, str]):
        await processes.run("work")
        under_way = asyncio.ensure_future(processes.run("work"))
        waiting = asyncio.ensure_future(processes.run("sleep"))
        await asyncio.sleep(0)
        waiting.cancel()
        assert await under_way == await processes.run("work")

    @pytest.mark.parametrize("how", ["work hard", "work hard in C"])
    async def test_a_call_that_takes_too_much_cpu_time_is_ended_wherever_it_is(
        self, processes: KillableProcesses[str, str], how: str
    ):
        with pytest.raises(OutOfTime):
            await processes.run(how, cpu_s=0.05)
        assert await processes.run("work")

    async def test_prepared_processes_are_there_before_the_first_call_and_replaced_when_they_end(self):
        with closing(KillableProcesses(misbehave, replace(LIMITS, at_once=2), begin)) as processes:
            processes.prepare()
            first = {*processes.pids()}
            answers = await asyncio.gather(processes.run("work"), processes.run("work"))
            assert {*answers} <= {f"work in {pid}" for pid in first}
            with pytest.raises(OutOfTime):
                await processes.run("work hard", cpu_s=0.05)
            assert len(first & {*processes.pids()}) == 1
            assert len(processes.pids()) == 2
            processes.prepare()
            assert len(processes.pids()) == 2

    async def test_closing_ends_the_calls_under_way(self):
        processes = KillableProcesses(misbehave, LIMITS, begin)
        await processes.run("work")
        call = asyncio.ensure_future(processes.run("sleep"))
        await asyncio.sleep(0)
        processes.close()
        with pytest.raises(ProcessKilled):  # it would sleep for a minute
            await call
        with pytest.raises(ProcessKilled):
            await processes.run("work")

    async def test_the_processes_are_not_told_the_services_secrets(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("FITNESS_SECRET_KEYS", "secret")
        with closing(KillableProcesses(misbehave, LIMITS, begin)) as processes:
            assert await processes.run("settings") == "[]"

    async def test_what_a_call_prints_is_no_result(self, processes: KillableProcesses[str, str]):
        assert (await processes.run("print")).startswith("print in")

    async def test_a_call_that_takes_too_long_is_ended_and_the_next_one_works(self):
        with closing(KillableProcesses(misbehave, replace(LIMITS, timeout_s=1), begin)) as processes:
            with pytest.raises(OutOfTime):
                await processes.run("sleep")
            assert await processes.run("work")
