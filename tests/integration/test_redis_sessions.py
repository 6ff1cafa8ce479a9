"""The store of sessions on a real Valkey, under its port's contract."""

import pytest
from redis.asyncio import Redis

from fitness.adapters.redis.client import AnyLine, line_to
from fitness.adapters.redis.sessions import KEPT_MS, RedisSessionStore
from fitness.ports.outages import SessionsUnavailable
from fitness.ports.sessions import SessionStorePort
from tests.builders import NOW
from tests.harness.api import NOWHERE_REDIS
from tests.unit.contracts.sessions import SessionStoreContract, a_session, used


class TestRedisSessionStore(SessionStoreContract):
    @pytest.fixture
    def session_store(self, line: AnyLine) -> SessionStorePort:
        return RedisSessionStore(line)

    async def test_what_is_kept_goes_by_itself_and_holds_no_token(self, session_store: SessionStorePort, valkey: Redis):
        await session_store.begin(a_session())
        for number in range(1, 3):
            await valkey.pexpire("v1:sessions:{user:7}", KEPT_MS - 120_000)
            await used(session_store, number, NOW)
            assert await valkey.pttl("v1:sessions:{user:7}") > KEPT_MS - 60_000
        (text,) = (await valkey.hgetall("v1:sessions:{user:7}")).values()
        assert len(text) < 300

    async def test_a_server_that_forgot_the_script_is_sent_it(self, session_store: SessionStorePort, valkey: Redis):
        await session_store.begin(a_session())
        for number in (1, 2):
            await valkey.script_flush()
            assert await used(session_store, number, NOW) is not None


async def test_a_store_that_does_not_answer_says_so():
    line = line_to(NOWHERE_REDIS)
    store = RedisSessionStore(line)
    for asking in (store.begin(a_session()), used(store, 1, NOW), store.list(7, at=NOW), store.end_all(7)):
        with pytest.raises(SessionsUnavailable):
            await asking
    await line.aclose()
