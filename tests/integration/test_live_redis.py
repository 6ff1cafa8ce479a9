"""Redis's part in the live feed under the contracts of its ports, and without Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis
from redis.asyncio import Redis

from fitness.adapters.embedded.engines import EngineUrls
from fitness.adapters.redis.client import AnyLine, closed, line_to
from fitness.adapters.redis.live import RedisPlaces, RedisTickets
from fitness.adapters.redis.wake_ups import CHANNEL, RedisWakeUps
from fitness.ports.live import PlacePort, TicketPort
from fitness.ports.outages import TicketsUnavailable
from fitness.ports.wake_ups import WakeUpPort
from tests.harness.api import NOWHERE_REDIS, PATIENT_S
from tests.harness.servers import ValkeyServer, answered
from tests.patience import PATIENCE_S
from tests.unit.contracts.live import ANN, DIGEST, Heard, PlaceContract, TicketContract, WakeUpContract

pytestmark = pytest.mark.engines


@pytest.fixture
def url(engines: EngineUrls) -> str:
    return engines.state_redis_url


@pytest.fixture
async def line(url: str) -> AsyncIterator[AnyLine]:
    async with Redis.from_url(url) as state:
        await state.flushall()
    line = line_to(url, PATIENT_S)
    await answered(line)
    yield line
    await closed(line)


@pytest.fixture
def over(url: str) -> Callable[[], None]:
    """Nothing is kept any more, as after a while; that Redis keeps to its times to live is its own promise."""

    def forget() -> None:
        with redis.Redis.from_url(url) as state:
            for name in state.scan_iter("v1:live:*"):
                assert 0 < state.ttl(name) <= 30
            state.flushall()

    return forget


class TestRedisTickets(TicketContract):
    @pytest.fixture
    def tickets(self, line: AnyLine) -> TicketPort:
        return RedisTickets(line)


class TestRedisPlaces(PlaceContract):
    @pytest.fixture
    def places(self, line: AnyLine) -> PlacePort:
        return RedisPlaces(line)

    async def test_a_place_is_free_when_its_time_is_over_although_others_are_kept(self, url: str, line: AnyLine):
        places = RedisPlaces(line)
        assert await places.take((7, "a"), most=2)
        async with Redis.from_url(url) as state:
            await state.zadd("v1:live:places:{user:7}", {"a": 1})
        assert await places.take((7, "b"), most=1)


class TestRedisWakeUps(WakeUpContract):
    @pytest.fixture
    def here(self, line: AnyLine, url: str) -> WakeUpPort:
        return RedisWakeUps(line, url)

    @pytest.fixture
    def there(self, line: AnyLine, url: str) -> WakeUpPort:
        return RedisWakeUps(line, url)

    async def test_what_is_announced_together_is_one_message_after_the_first(self, line: AnyLine, url: str):
        port = RedisWakeUps(line, url)
        async with Redis.from_url(url) as state, state.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            for number in range(100):
                port.announce(number % 10)
            port.announce(99)
            messages: list[bytes] = []
            async with asyncio.timeout(PATIENCE_S):
                while not any(b"99" in one for one in messages):
                    message = await channel.get_message(ignore_subscribe_messages=True, timeout=1.0)
                    messages += [message["data"]] if message else []
        assert messages[0] == b"0"
        assert len(messages) == 2

    async def test_it_hears_again_when_redis_is_back(self, folder: Path):
        server = ValkeyServer(folder)
        server.start()
        line = line_to(server.url)
        port, heard = RedisWakeUps(line, server.url), Heard()
        listening = asyncio.ensure_future(port.listen(heard))
        await self.listens(port, heard, 1)
        server.kill()
        server.start()
        await self.listens(port, heard, 2)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await closed(line)
        server.kill()


async def test_without_redis_tickets_are_an_outage_and_nobody_waits_for_wake_ups():
    line = line_to(NOWHERE_REDIS)
    with pytest.raises(TicketsUnavailable):
        await RedisTickets(line).issue(DIGEST, ANN)
    with pytest.raises(TicketsUnavailable):
        await RedisPlaces(line).take((7, "a"), most=1)
    RedisWakeUps(line, NOWHERE_REDIS).announce(7)
    await closed(line)
