"""How the processes of an instance put their metrics together."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from fitness.adapters.telemetry.ended import leave_counts
from fitness.adapters.telemetry.exchange import MetricsExchange, begin_exchange
from tests.patience import PATIENCE_S

Values = dict[tuple[str, str], float]


def saying(number: int) -> Callable[[], bytes]:
    return lambda: f"# HELP users_registered_total Accounts opened.\nusers_registered_total {number}\n".encode()


def sockets(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.sock")]


async def scraped(folder: Path) -> Values:
    text = await _text(folder)
    assert text.count("# HELP users_registered_total") <= 1
    return {
        (sample.name, sample.labels["worker"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_any_process_may_join_however_deep_the_folder_is(tmp_path: Path):
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    begin_exchange(folder)
    one, other = MetricsExchange(folder, saying(1)), MetricsExchange(folder, saying(2))
    async with one.serve_metrics(), other.serve_metrics():
        assert await scraped(folder) == {("users_registered_total", "0"): 1, ("users_registered_total", "1"): 2}
    assert await scraped(folder) == {}
    assert sockets(folder) == []


async def test_a_fresh_start_clears_what_killed_processes_left_and_leaves_the_living_alone(tmp_path: Path):
    begin_exchange(tmp_path)
    leave_counts(tmp_path, {"users_registered_total": {(): 3}})
    (tmp_path / "7.sock").touch()
    (tmp_path / "7.lock").touch()
    async with MetricsExchange(tmp_path, saying(1)).serve_metrics():
        begin_exchange(tmp_path)
        assert sockets(tmp_path) == ["0.sock"]
        assert await scraped(tmp_path) == {("users_registered_total", "0"): 1}


async def test_what_ended_processes_counted_is_added_up_under_a_label_of_its_own(tmp_path: Path):
    def leave(_: int) -> None:
        leave_counts(tmp_path, {"users_registered_total": {(): 1}, "cache_hits_total": {("tier",): 2, ("listing",): 1}})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(leave, range(40)))
    async with MetricsExchange(tmp_path, saying(5)).serve_metrics():
        values = await scraped(tmp_path)
    assert values["users_registered_total", "0"] == 5
    assert values["users_registered_total", "cli"] == 40
    assert 'cache_hits_total{worker="cli",cache="tier"} 80.0' in (await _text(tmp_path))


def test_nothing_is_left_where_no_service_ever_ran(tmp_path: Path):
    leave_counts(tmp_path / "metrics", {"users_registered_total": {(): 1}})
    assert list(tmp_path.iterdir()) == []


async def _text(folder: Path) -> str:
    return (await MetricsExchange(folder, lambda: b"", answer_s=PATIENCE_S).collect()).decode()


async def test_a_process_that_does_not_answer_is_left_out(tmp_path: Path):
    begin_exchange(tmp_path)
    release = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    hanging = await asyncio.start_unix_server(hang, tmp_path / "9.sock")
    async with MetricsExchange(tmp_path, saying(1)).serve_metrics():
        assert await scraped(tmp_path) == {("users_registered_total", "0"): 1}
    release.set()
    hanging.close()


async def test_who_gives_up_asking_disturbs_nobody(tmp_path: Path):
    begin_exchange(tmp_path)
    asked, given_up = threading.Event(), threading.Event()

    def render() -> bytes:
        asked.set()
        given_up.wait()
        return b"x" * 10_000_000  # more than the kernel takes from a writer whose reader is gone

    exchange = MetricsExchange(tmp_path, render, answer_s=0.01)
    async with exchange.serve_metrics():
        assert await exchange.collect() == b""
        await asyncio.to_thread(asked.wait)
        given_up.set()
        while answering():  # noqa: ASYNC110 - the server tells nobody; what it raises fails the test
            await asyncio.sleep(0.001)


def answering() -> bool:
    return any("_answer" in repr(task.get_coro()) for task in asyncio.all_tasks())
