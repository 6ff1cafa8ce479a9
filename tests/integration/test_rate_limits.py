"""The rate limiter's script on a real Valkey: the contract, and the reference model's decisions to the microsecond."""

import asyncio
from random import Random

import pytest
from redis.asyncio import Redis

from fitness.adapters.embedded.engines import EngineUrls
from fitness.adapters.redis.client import AnyLine, line_to
from fitness.adapters.redis.rate_limits import RedisRateLimiter
from fitness.domain.model.judging import State, judged
from fitness.domain.model.rate_limits import POLICIES, SECOND_US, Algorithm, Charge, Limit
from fitness.ports.outages import LimiterUnavailable
from fitness.ports.rate_limits import RateLimiterPort
from tests.harness.api import PATIENT_S, limits_script_at
from tests.unit.contracts.rate_limits import RateLimiterContract, charge

START_US = 1_795_000_000 * SECOND_US

ON_A_TURNED_CLOCK = limits_script_at("redis.call('HMGET', 'clock', 's', 'us')")


class TurnedServerClock:
    def __init__(self, valkey: Redis) -> None:
        self._valkey = valkey
        self.now_us = START_US

    async def turn(self, by_us: int) -> None:
        self.now_us += by_us
        seconds, rest_us = divmod(self.now_us, SECOND_US)
        await self._valkey.hset("clock", mapping={"s": seconds, "us": rest_us})


@pytest.fixture
async def clock(valkey: Redis) -> TurnedServerClock:
    clock = TurnedServerClock(valkey)
    await clock.turn(0)
    return clock


class TestRedisRateLimiter(RateLimiterContract):
    @pytest.fixture
    async def limiter(self, line: AnyLine) -> RateLimiterPort:
        return RedisRateLimiter(line, ON_A_TURNED_CLOCK)


def some_charges(random: Random) -> list[Charge]:
    return [
        Charge(
            f"policy{number}",
            random.choice(["user:1", "user:2"]) if number % 2 else "user:1",
            Limit(
                random.choice([1, 2, 3, 7, 30, 500]),
                random.choice([1, 7, 60, 3600]),
                random.choice([*Algorithm]),
            ),
        )
        for number in range(random.randrange(1, 5))
    ]


async def test_the_script_decides_as_the_model_does(line: AnyLine, clock: TurnedServerClock):
    random = Random(4)
    limiter = RedisRateLimiter(line, ON_A_TURNED_CLOCK)
    refused = 0

    async def compare(charges: list[Charge], states: dict[str, State]) -> None:
        nonlocal refused
        asked = random.sample(charges, random.randrange(1, len(charges) + 1))
        cost = random.choice([1, 1, 1, 1, 0])
        names = [f"{one.policy}/{one.subject}" for one in asked]
        dry_run = random.choice([False, False, False, True])
        before = [states.get(name, ()) for name in names]
        expected, after = judged(asked, before, now_us=clock.now_us, cost=cost, dry_run=dry_run)
        states |= dict(zip(names, after, strict=True))
        assert await limiter.acquire(asked, cost=cost, dry_run=dry_run) == expected
        refused += not expected.allowed

    for first in range(0, 2_000, 20):  # so many at a time, under the same clock and nothing else in common
        trials = [
            [Charge(f"{number}-{one.policy}", one.subject, one.limit) for one in some_charges(random)]
            for number in range(first, first + 20)
        ]
        states: list[dict[str, State]] = [{} for _ in trials]
        for _ in range(12):
            step = random.choice([0, 0, 1, 999, SECOND_US, random.randrange(100 * SECOND_US), -3_600 * SECOND_US])
            await clock.turn(step)
            await asyncio.gather(*map(compare, trials, states))
    assert refused > 2_000


async def test_a_thousand_refusals_leave_the_other_accounts_untouched(valkey: Redis, line: AnyLine):
    limiter = RedisRateLimiter(line)
    # Limits of a day: neither is whole again before the last of a thousand questions, however late that is.
    wide, narrow = Charge("requests", "user:1", Limit(100, 86_400)), Charge("narrow", "user:1", Limit(1, 86_400))
    await limiter.acquire([wide, narrow])
    name = "v1:limit:{user:1}:requests:token_bucket:user:1"
    before = await valkey.get(name), await valkey.pexpiretime(name)
    assert before[0] is not None
    decisions = [await limiter.acquire([wide, narrow]) for _ in range(1_000)]
    assert not any(decision.allowed for decision in decisions)
    assert (await valkey.get(name), await valkey.pexpiretime(name)) == before


async def test_accounts_are_forgotten_once_they_are_whole_again(valkey: Redis, line: AnyLine):
    limiter = RedisRateLimiter(line)
    before_s, _ = await valkey.time()
    await limiter.acquire([charge(4), charge(3, policy="strict", algorithm=Algorithm.SLIDING_WINDOW)])
    after_s, _ = await valkey.time()
    ends_ms = [await valkey.pexpiretime(name) async for name in valkey.scan_iter("v1:limit:*")]
    # A quarter of a minute, a minute, and a little more; from some moment in between, however far apart they are.
    for end_s, whole_s in zip((end_ms / 1_000 for end_ms in sorted(ends_ms)), (15, 60), strict=True):
        assert end_s - before_s >= whole_s
        assert end_s - after_s < whole_s + 3


async def test_many_connections_admit_no_more_than_the_limit(engines: EngineUrls, valkey: Redis):
    lines = [line_to(engines.redis_url, PATIENT_S) for _ in range(8)]
    one = Charge("requests", "user:1", Limit(50, 3_600, Algorithm.SLIDING_WINDOW))

    async def ask(limiter: RedisRateLimiter) -> int:
        return sum([(await limiter.acquire([one])).allowed for _ in range(30)])

    admitted = await asyncio.gather(*(ask(RedisRateLimiter(line)) for line in lines))
    assert sum(admitted) == 50
    await asyncio.gather(*(line.aclose() for line in lines))


async def test_a_server_without_the_script_is_given_it_again(valkey: Redis, line: AnyLine):
    limiter = RedisRateLimiter(line)
    await limiter.acquire([charge()])
    await valkey.script_flush()
    assert (await limiter.acquire([charge()])).allowed


async def test_a_server_that_is_not_there_is_an_outage():
    gone = line_to("redis://127.0.0.1:1")
    with pytest.raises(LimiterUnavailable):
        await RedisRateLimiter(gone).acquire([charge()])
    await gone.aclose()


def test_every_policy_limits_somebody():
    for policy in POLICIES:
        assert policy.anonymous or (policy.free and policy.premium)
