"""The Redis adapters on a real Valkey, under the contracts of their ports."""

import asyncio
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from fitness.adapters.embedded.engines import EngineUrls
from fitness.adapters.redis.cache import GENERATION_BYTES, MAX_COPY_BYTES, RedisCache
from fitness.adapters.redis.client import connected
from fitness.adapters.redis.deadlines import DEADLINE_S, GRACE_S, MOST_GRACES
from fitness.ports.cache import CacheKey, CachePort, Hit, Miss, Scope
from fitness.ports.health import ProbePort
from fitness.ports.outages import CacheUnavailable
from tests.harness.clocks import LONGEST_TICK_S, LoopClock, loop_clock
from tests.harness.servers import PATIENCE_S, ValkeyServer
from tests.unit.contracts.cache import ANN, CacheContract, key
from tests.unit.contracts.health import ProbeContract


class TestRedisCache(CacheContract):
    @pytest.fixture
    def cache(self, valkey: Redis) -> CachePort:
        return RedisCache(valkey)

    async def test_a_copy_is_kept_for_its_time_give_or_take_a_tenth(self, cache: CachePort, valkey: Redis):
        spans = set()
        for name in map(str, range(50)):
            await cache.fill(key(name), "value", await self.missed(cache, key(name)))
            span_ms = await valkey.pttl(f"v1:{name}:{{1}}")
            assert 53_000 < span_ms <= 66_000
            spans.add(span_ms // 1000)
        assert len(spans) > 3

    async def test_a_generation_and_the_copies_under_it_share_a_cluster_slot(self, cache: CachePort, valkey: Redis):
        await cache.fill(key(), "value", await self.missed(cache, key()))
        names = [name async for name in valkey.scan_iter()]
        assert len(names) == 2
        assert len({key_slot(bytes(name)) for name in names}) == 1

    @pytest.mark.parametrize("copy", [b"", b"\xff\xff", b"\x93", b"\xa9short", b"\xa3\xff\xfe\xfd"])
    async def test_a_copy_that_does_not_decode_is_a_miss_and_is_removed(
        self, cache: CachePort, valkey: Redis, copy: bytes
    ):
        miss = await self.missed(cache, key())
        await valkey.set("v1:one:{1}", miss.generation + copy)
        assert await cache.read(key()) == miss
        assert not await valkey.exists("v1:one:{1}")

    async def test_a_copy_of_another_type_is_a_miss(self, cache: CachePort):
        number = CacheKey("one:{1}", ANN, 60, int, "test")
        await cache.fill(key(), "value", await self.missed(cache, key()))
        assert isinstance(await cache.read(number), Miss)

    async def test_a_value_that_is_too_large_is_not_kept(self, cache: CachePort):
        miss = await self.missed(cache, key())
        await cache.fill(key(), "x" * (MAX_COPY_BYTES - GENERATION_BYTES - 5), miss)
        assert isinstance(await cache.read(key()), Hit)
        await cache.fill(key("larger"), "x" * MAX_COPY_BYTES, miss)
        assert isinstance(await cache.read(key("larger")), Miss)

    async def test_evicted_generations_do_not_revive_old_copies(self, cache: CachePort, valkey: Redis):
        await cache.fill(key(), "old", await self.missed(cache, key()))
        await cache.invalidate(ANN)
        await valkey.delete("v1:generation:user:{1}")
        assert isinstance(await cache.read(key()), Miss)

    async def test_a_server_that_hangs_holds_up_one_write_alone_and_has_every_invalidation_afterwards(
        self, folder: Path
    ):
        server = ValkeyServer(folder / "valkey")
        server.start()
        client = connected(server.url)
        cache = RedisCache(client)
        scopes = [Scope("user", number) for number in range(10)]

        async def generations() -> set[bytes]:
            return {(await self.missed(cache, key(scope=scope))).generation for scope in scopes}

        async def all_renewed() -> bool:
            try:
                return not before & await generations()
            except CacheUnavailable:
                return False

        async def refused_after_s(clock: LoopClock, scope: Scope) -> float:
            started_s = clock.now_s()
            with pytest.raises(CacheUnavailable):
                await cache.invalidate(scope)
            return clock.now_s() - started_s

        try:
            before = await generations()
            server.freeze()
            async with loop_clock() as clock:
                first_s = await refused_after_s(clock, scopes[0])
                others_s = sum([await refused_after_s(clock, scope) for scope in scopes[1:]])
            # The first one waits for its deadline, with the graces of a busy loop, and no longer. Nine more together
            # take less than that one wait.
            assert DEADLINE_S * 0.9 < first_s < DEADLINE_S + MOST_GRACES * GRACE_S + LONGEST_TICK_S
            assert others_s < first_s
            server.thaw()
            give_up_s = time.monotonic() + PATIENCE_S
            while not await all_renewed():
                assert time.monotonic() < give_up_s
            await cache.invalidate(*scopes)
        finally:
            await client.aclose()
            server.kill()

    async def test_a_server_that_is_not_there_is_an_outage_in_every_method(self):
        gone = connected("redis://127.0.0.1:1")
        cache = RedisCache(gone)
        with pytest.raises(CacheUnavailable):
            await cache.read(key())
        with pytest.raises(CacheUnavailable):
            await cache.fill(key(), "value", Miss(b"x" * GENERATION_BYTES))
        with pytest.raises(CacheUnavailable):
            await cache.invalidate(ANN)
        with pytest.raises(CacheUnavailable):
            await cache.check()
        with pytest.raises(CacheUnavailable):
            await cache.claim(key(), Miss(b"x" * GENERATION_BYTES))
        with pytest.raises(CacheUnavailable):
            await cache.give_up(key(), Miss(b"x" * GENERATION_BYTES))
        with pytest.raises(CacheUnavailable):
            await cache.run_id()
        await gone.aclose()


async def test_a_cancellation_is_heard_at_any_moment_also_while_it_connects(engines: EngineUrls):
    heard = 0
    for number in range(60):
        client = connected(engines.redis_url)
        cache = RedisCache(client)

        async def ask_and_go_on(cache: RedisCache) -> None:
            await cache.run_id()
            await asyncio.sleep(60)

        task = asyncio.ensure_future(ask_and_go_on(cache))
        await asyncio.sleep(0.0001 * number)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=1)
        heard += bool(done) and task.cancelled()
        await client.aclose()
    assert heard == 60


class TestRedisProbe(ProbeContract):
    @pytest.fixture
    def probe(self, valkey: Redis) -> ProbePort:
        return RedisCache(valkey)
