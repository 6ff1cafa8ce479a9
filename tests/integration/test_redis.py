"""The Redis adapters on a real Valkey, under the contracts of their ports."""

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from fitness.adapters.redis.cache import GENERATION_BYTES, MAX_COPY_BYTES, SCHEMA, RedisCache
from fitness.adapters.redis.client import AnyLine, line_to
from fitness.ports.cache import CacheKey, CachePort, Era, Hit, Miss
from fitness.ports.health import ProbePort
from fitness.ports.outages import CacheUnavailable
from tests.unit.contracts.cache import ANN, CacheContract, key
from tests.unit.contracts.health import ProbeContract


async def now_ms(valkey: Redis) -> int:
    """By the server's clock."""
    seconds, microseconds = await valkey.time()
    return seconds * 1_000 + microseconds // 1_000


class TestRedisCache(CacheContract):
    @pytest.fixture
    def cache(self, line: AnyLine) -> CachePort:
        return RedisCache(line)

    async def test_a_copy_is_kept_for_its_time_give_or_take_a_tenth(self, cache: CachePort, era: Era, valkey: Redis):
        spans = set()
        for name in map(str, range(50)):
            miss, before_ms = await self.missed(cache, era, key(name)), await now_ms(valkey)
            await cache.fill(key(name), "value", miss)
            after_ms, ends_ms = await now_ms(valkey), await valkey.pexpiretime(f"{SCHEMA}:era:{name}:{{1}}")
            assert before_ms + 54_000 <= ends_ms <= after_ms + 66_000
            spans.add((ends_ms - before_ms) // 1000)
        assert len(spans) > 3

    async def test_a_generation_and_the_copies_under_it_share_a_cluster_slot(
        self, cache: CachePort, era: Era, valkey: Redis
    ):
        await cache.fill(key(), "value", await self.missed(cache, era, key()))
        names = [name async for name in valkey.scan_iter()]
        assert len(names) == 2
        assert len({key_slot(bytes(name)) for name in names}) == 1

    @pytest.mark.parametrize("copy", [b"", b"\xff\xff", b"[", b'"short', b'"\xff\xfe\xfd"'])
    async def test_a_copy_that_does_not_decode_is_a_miss_and_is_removed(
        self, cache: CachePort, era: Era, valkey: Redis, copy: bytes
    ):
        miss = await self.missed(cache, era, key())
        await valkey.set(f"{SCHEMA}:era:one:{{1}}", miss.generation + copy)
        assert await cache.read(key(), era) == miss
        assert not await valkey.exists(f"{SCHEMA}:era:one:{{1}}")

    async def test_a_copy_of_another_type_is_a_miss(self, cache: CachePort, era: Era):
        number = CacheKey("one:{1}", ANN, 60, int, "test")
        await cache.fill(key(), "value", await self.missed(cache, era, key()))
        assert isinstance(await cache.read(number, era), Miss)

    async def test_a_value_that_is_too_large_is_not_kept(self, cache: CachePort, era: Era):
        miss = await self.missed(cache, era, key())
        await cache.fill(key(), "x" * (MAX_COPY_BYTES - GENERATION_BYTES - 5), miss)
        assert isinstance(await cache.read(key(), era), Hit)
        await cache.fill(key("larger"), "x" * MAX_COPY_BYTES, miss)
        assert isinstance(await cache.read(key("larger"), era), Miss)

    async def test_evicted_generations_do_not_revive_old_copies(self, cache: CachePort, era: Era, valkey: Redis):
        await cache.fill(key(), "old", await self.missed(cache, era, key()))
        await cache.invalidate(era, ANN)
        await valkey.delete("v4:era:generation:user:{1}")
        assert isinstance(await cache.read(key(), era), Miss)

    async def test_generations_have_one_name_in_all_versions(self, cache: CachePort, era: Era, valkey: Redis):
        """Else, during a rollout, the copies of one would not end with the changes of the other."""
        await cache.invalidate(era, ANN)
        assert await valkey.exists("v4:era:generation:user:{1}")

    async def test_a_server_that_is_not_there_is_an_outage_in_every_method(self):
        line = line_to("redis://127.0.0.1:1")
        cache, era = RedisCache(line), Era("run", "era")
        miss = Miss(b"x" * GENERATION_BYTES, era)
        for call in (
            lambda: cache.read(key(), era),
            lambda: cache.fill(key(), "value", miss),
            lambda: cache.invalidate(era, ANN),
            lambda: cache.claim(key(), miss),
            lambda: cache.give_up(key(), miss),
            cache.check,
            cache.run_id,
            cache.sizes,
        ):
            with pytest.raises(CacheUnavailable):
                await call()
        await line.aclose()


class TestRedisProbe(ProbeContract):
    @pytest.fixture
    def probe(self, line: AnyLine) -> ProbePort:
        return RedisCache(line)
