"""What a port with turns promises: one piece of work of a user at a time, and a bounded queue."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from fitness.ports.outages import Overloaded

ANN, BOB = 1, 2


class TakesTurns(Protocol):
    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]: ...


class TurnContract:
    """An implementation's class gives the fixture `reader`."""

    async def test_one_file_of_a_user_is_read_at_a_time(self, reader: TakesTurns):
        order: list[str] = []

        async def take_turn(user_id: int, name: str, until: asyncio.Event) -> None:
            async with reader.turn(user_id):
                order.append(name)
                await until.wait()

        first, second = asyncio.Event(), asyncio.Event()
        tasks = [
            asyncio.ensure_future(take_turn(ANN, "first", first)),
            asyncio.ensure_future(take_turn(ANN, "second", second)),
            asyncio.ensure_future(take_turn(BOB, "another's", second)),
        ]
        await asyncio.sleep(0)
        assert order == ["first", "another's"]
        first.set()
        second.set()
        await asyncio.gather(*tasks)
        assert order == ["first", "another's", "second"]

    async def test_who_stops_waiting_for_a_turn_gives_it_to_the_next(self, reader: TakesTurns):
        async def take_turn() -> None:
            async with reader.turn(ANN):
                pass

        async with reader.turn(ANN):
            left, stays = asyncio.ensure_future(take_turn()), asyncio.ensure_future(take_turn())
            await asyncio.sleep(0)
            left.cancel()
        await stays

    async def test_where_too_many_wait_for_a_turn_the_next_is_refused(self, reader: TakesTurns):
        go_on = asyncio.Event()

        async def take_turn(user_id: int) -> None:
            async with reader.turn(user_id):
                await go_on.wait()

        crowd = [asyncio.ensure_future(take_turn(ANN)) for _ in range(100)]
        another = asyncio.ensure_future(take_turn(BOB))
        await asyncio.sleep(0)
        assert isinstance(crowd[-1].exception(), Overloaded)
        go_on.set()
        answers = await asyncio.gather(*crowd, another, return_exceptions=True)
        assert answers[0] is answers[-1] is None
        await asyncio.gather(take_turn(ANN), take_turn(BOB))
