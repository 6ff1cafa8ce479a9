"""Work that begins at once and is awaited later."""

import asyncio
from asyncio import Future

import pytest

from fitness.domain.use_cases.begun import Begun


async def twice(first: "Future[int]", second: "Future[int]") -> int:
    return await first * 10 + await second


async def test_it_runs_at_once_up_to_where_it_waits():
    steps = []

    async def work() -> None:
        steps.append("begun")
        await asyncio.sleep(0)
        steps.append("ended")

    with Begun(work()) as begun:
        assert steps == ["begun"]
        await begun
    assert steps == ["begun", "ended"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_its_result_is_the_works_whichever_comes_first(order: tuple[int, int]):
    loop = asyncio.get_running_loop()
    futures = loop.create_future(), loop.create_future()
    for number in order:
        loop.call_soon(futures[number].set_result, number + 1)
    with Begun(twice(*futures)) as begun:
        assert await begun == 12


async def test_what_came_meanwhile_is_not_waited_for():
    loop = asyncio.get_running_loop()
    futures = loop.create_future(), loop.create_future()
    turns: list[str] = []
    with Begun(twice(*futures)) as begun:
        for future in futures:
            future.set_result(3)
        loop.call_soon(turns.append, "a turn of the loop")
        assert await begun == 33
    assert turns == []


async def test_work_that_waits_for_nothing_has_its_result_at_once():
    async def work() -> str:
        return "value"

    with Begun(work()) as begun:
        assert await begun == "value"


@pytest.mark.parametrize("waits", [True, False])
async def test_what_it_raises_is_raised_to_whoever_awaits_it(waits: bool):
    async def work() -> None:
        if waits:
            await asyncio.sleep(0)
        raise ValueError("failed")

    with Begun(work()) as begun, pytest.raises(ValueError, match="failed"):
        await begun


async def test_a_cancellation_reaches_what_it_waits_for():
    future: Future[int] = asyncio.get_running_loop().create_future()

    async def asker() -> None:
        with Begun(twice(future, future)) as begun:
            await begun

    task = asyncio.create_task(asker())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.cancelled()


async def test_work_that_nobody_awaited_is_abandoned():
    future: Future[int] = asyncio.get_running_loop().create_future()
    ended = []

    async def work() -> None:
        try:
            await future
        finally:
            ended.append(True)

    with pytest.raises(KeyError), Begun(work()):
        raise KeyError
    assert future.cancelled()
    assert ended == [True]
