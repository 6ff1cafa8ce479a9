"""What every TicketPort, PlacePort and WakeUpPort promises."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from fitness.domain.model.users import Caller
from fitness.ports.live import PlacePort, TicketPort
from fitness.ports.wake_ups import WakeUpPort
from tests.patience import PATIENCE_S

ANN = Caller(7, "a" * 32, 1_790_000_000_123_456)
DIGEST = b"\x00\xff" * 16


class TicketContract:
    """An implementation's class gives the fixtures `tickets` and `over`, which lets more than TICKET_TTL_S pass."""

    async def test_a_ticket_stands_for_its_caller_once(self, tickets: TicketPort):
        await tickets.issue(DIGEST, ANN)
        assert await tickets.redeem(DIGEST) == ANN
        assert await tickets.redeem(DIGEST) is None

    async def test_a_ticket_says_when_what_asked_for_it_expires(self, tickets: TicketPort):
        for until in (datetime(2026, 11, 22, 12, 15, 0, 123_456, tzinfo=UTC), None):
            await tickets.issue(DIGEST, replace(ANN, until=until))
            redeemed = await tickets.redeem(DIGEST)
            assert redeemed is not None
            assert redeemed.until == until

    async def test_of_many_who_redeem_it_at_once_one_gets_it(self, tickets: TicketPort):
        await tickets.issue(DIGEST, ANN)
        found = await asyncio.gather(*(tickets.redeem(DIGEST) for _ in range(20)))
        assert [one for one in found if one is not None] == [ANN]

    async def test_an_unknown_ticket_is_nobodys(self, tickets: TicketPort):
        assert await tickets.redeem(b"x" * 32) is None

    async def test_a_ticket_is_over_after_a_while(self, tickets: TicketPort, over: Callable[[], None]):
        await tickets.issue(DIGEST, ANN)
        over()
        assert await tickets.redeem(DIGEST) is None


class PlaceContract:
    """An implementation's class gives the fixtures `places` and `over`, which lets more than PLACE_TTL_S pass."""

    async def test_a_user_has_so_many_places_and_no_more(self, places: PlacePort):
        taken = await asyncio.gather(*(places.take((7, str(number)), most=3) for number in range(10)))
        assert taken.count(True) == 3
        assert await places.take((8, "other"), most=3)

    async def test_a_place_that_is_left_is_free(self, places: PlacePort):
        assert await places.take((7, "a"), most=1)
        await places.leave((7, "a"))
        await places.leave((7, "a"))
        assert await places.take((7, "b"), most=1)

    async def test_a_place_that_is_not_kept_is_free_after_a_while(self, places: PlacePort, over: Callable[[], None]):
        assert await places.take((7, "a"), most=1)
        over()
        assert await places.take((7, "b"), most=1)

    async def test_a_place_that_is_kept_is_not(self, places: PlacePort, over: Callable[[], None]):
        assert await places.take((7, "a"), most=1)
        over()
        await places.keep([(7, "a"), (8, "b")])  # although the first place had expired
        assert not await places.take((7, "c"), most=1)
        assert not await places.take((8, "d"), most=1)

    async def test_a_place_that_is_left_while_others_are_kept_is_free(self, places: PlacePort):
        left = set[str]()
        names = [str(number) for number in range(200)]
        for name in names:
            assert await places.take((7, name), most=200)
        keeping = asyncio.ensure_future(places.keep((7, name) for name in names if name not in left))
        for name in reversed(names):
            left.add(name)
            await places.leave((7, name))
        await keeping
        assert await places.take((7, "other"), most=1)


class Heard:
    """The users that one process was told of."""

    def __init__(self) -> None:
        self.users: list[int] = []
        self._more = asyncio.Event()

    def __call__(self, user_id: int) -> None:
        self.users.append(user_id)
        self._more.set()

    async def until(self, *users: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not {*users} <= {*self.users}:
                self._more.clear()
                await self._more.wait()


class WakeUpContract:
    """An implementation's class gives the fixtures `here` and `there`, of two processes, or twice of the only one."""

    async def test_who_is_announced_is_heard_of_in_every_process(self, here: WakeUpPort, there: WakeUpPort):
        ours, theirs = Heard(), Heard()
        listening = [asyncio.ensure_future(here.listen(ours)), asyncio.ensure_future(there.listen(theirs))]
        try:
            await self.listens(here, ours, 1)
            await self.listens(there, theirs, 2)
            for user_id in (7, 8, 2**40):
                here.announce(user_id)
            await ours.until(7, 8, 2**40)
            await theirs.until(7, 8, 2**40)
        finally:
            for one in listening:
                one.cancel()
            await asyncio.gather(*listening, return_exceptions=True)

    async def listens(self, port: WakeUpPort, heard: Heard, user_id: int) -> None:
        """Return once `there` listens: until then, messages are lost."""
        async with asyncio.timeout(PATIENCE_S):
            while user_id not in heard.users:
                port.announce(user_id)
                await asyncio.sleep(0.02)
