"""Questions that go together in one statement."""

import asyncio
from collections.abc import Sequence

import pytest

from fitness.adapters.postgres.together import Together
from fitness.ports.outages import DatabaseUnavailable


class Statements:
    """Answers a number with its square, when it is let; a negative one cannot be answered."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.down = False

    async def answer_all(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.asked.append([*numbers])
        await self.go_on.wait()
        if self.down:
            raise DatabaseUnavailable("down")
        return [number * number if number >= 0 else ValueError(number) for number in numbers]


@pytest.fixture
def statements() -> Statements:
    return Statements()


async def begun(questions: Sequence[int], together: Together[int, int]) -> list["asyncio.Task[int]"]:
    asking = [asyncio.create_task(together.ask(number)) for number in questions]
    for _ in range(3):
        await asyncio.sleep(0)
    return asking


async def test_what_one_turn_of_the_loop_asks_is_one_statement(statements: Statements):
    together = Together[int, int](statements.answer_all)
    assert await asyncio.gather(*(together.ask(number) for number in range(5))) == [0, 1, 4, 9, 16]
    assert statements.asked == [[0, 1, 2, 3, 4]]


async def test_what_comes_while_statements_run_waits_for_the_next_one(statements: Statements):
    together = Together[int, int](statements.answer_all, at_once=1)
    statements.go_on.clear()
    first = await begun([1], together)
    later = await begun([2, 2, 3], together)
    assert statements.asked == [[1]]  # the others were not there when it began, and must not have its answer
    statements.go_on.set()
    assert await asyncio.gather(*first, *later) == [1, 4, 4, 9]
    assert statements.asked == [[1], [2, 2, 3]]


async def test_no_more_than_so_many_statements_run_and_none_has_more_than_its_share(statements: Statements):
    together = Together[int, int](statements.answer_all, most=3, at_once=2)
    statements.go_on.clear()
    asking = []
    for number in range(10):
        asking += await begun([number], together)
    assert statements.asked == [[0], [1]]
    statements.go_on.set()
    assert await asyncio.gather(*asking) == [number * number for number in range(10)]
    assert sorted(map(len, statements.asked)) == [1, 1, 2, 3, 3]


async def test_a_question_that_fails_alone_fails_alone(statements: Statements):
    together = Together[int, int](statements.answer_all)
    one, two, three = await asyncio.gather(together.ask(1), together.ask(-2), together.ask(3), return_exceptions=True)
    assert (one, three) == (1, 9)
    assert isinstance(two, ValueError)


async def test_an_outage_is_the_answer_to_all_who_wait(statements: Statements):
    together = Together[int, int](statements.answer_all, at_once=1)
    statements.go_on.clear()
    statements.down = True
    asking = [*await begun([1], together), *await begun([2, 3], together)]
    statements.go_on.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 3
    assert statements.asked == [[1]]
    statements.down = False
    assert await together.ask(4) == 16


async def test_whoever_leaves_takes_nobody_elses_answer(statements: Statements):
    together = Together[int, int](statements.answer_all)
    statements.go_on.clear()
    leaving, staying = await begun([1, 2], together)
    leaving.cancel()
    statements.go_on.set()
    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving
