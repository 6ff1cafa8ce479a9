"""What every RateLimiterPort promises."""

import asyncio
from typing import Protocol

import pytest

from fitness.domain.model.rate_limits import SECOND_US, Algorithm, Charge, Limit
from fitness.ports.rate_limits import RateLimiterPort
from tests.unit.contracts.replies import replied

BOTH = pytest.mark.parametrize("algorithm", [*Algorithm])


class Turnable(Protocol):
    """The limiter's clock, which a test can turn."""

    async def turn(self, by_us: int) -> None: ...


def charge(
    requests: int = 3,
    *,
    policy: str = "requests",
    subject: str = "user:1",
    algorithm: Algorithm = Algorithm.TOKEN_BUCKET,
) -> Charge:
    return Charge(policy, subject, Limit(requests, algorithm=algorithm))


class RateLimiterContract:
    """An implementation's class gives the fixtures `limiter`, without any account yet, and `clock`."""

    async def admitted(self, limiter: RateLimiterPort, *charges: Charge, tries: int = 10) -> int:
        return sum([(await limiter.acquire(charges)).allowed for _ in range(tries)])

    @BOTH
    async def test_as_many_as_the_limit_are_admitted_at_once(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        one = charge(3, algorithm=algorithm)
        left = [(await limiter.acquire([one])).balances[0].remaining for _ in range(4)]
        assert left == [2, 1, 0, 0]
        assert await self.admitted(limiter, one) == 0

    @BOTH
    async def test_of_many_at_the_same_time_no_more_are_admitted(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        one = charge(7, algorithm=algorithm)
        decisions = await asyncio.gather(*(limiter.acquire([one]) for _ in range(30)))
        assert sum(decision.allowed for decision in decisions) == 7

    @BOTH
    async def test_what_is_asked_for_soon_is_judged_and_charged_as_anything(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        charges = [charge(3, algorithm=algorithm)]
        await limiter.acquire(charges)  # from now on the server has the script
        replies = [limiter.acquire_soon(charges) for _ in range(3)]
        decisions = [await replied(reply) for reply in replies if reply is not None]
        if decisions:  # none where that takes more than one question
            assert [decision.balances[0].remaining for decision in decisions] == [1, 0, 0]
            assert [decision.allowed for decision in decisions] == [True, True, False]
            assert not (await limiter.acquire(charges)).allowed

    async def test_a_token_bucket_refills_evenly(self, limiter: RateLimiterPort, clock: Turnable):
        one = charge(3)
        await self.admitted(limiter, one)
        for _ in range(5):
            await clock.turn(20 * SECOND_US - 1)
            assert await self.admitted(limiter, one) == 0
            await clock.turn(1)
            assert await self.admitted(limiter, one) == 1
        await clock.turn(600 * SECOND_US)
        assert await self.admitted(limiter, one) == 3

    async def test_a_sliding_window_counts_each_request_for_its_whole_period(
        self, limiter: RateLimiterPort, clock: Turnable
    ):
        one = charge(3, algorithm=Algorithm.SLIDING_WINDOW)
        assert await self.admitted(limiter, one, tries=1) == 1
        await clock.turn(50 * SECOND_US)
        assert await self.admitted(limiter, one) == 2
        await clock.turn(10 * SECOND_US - 1)
        assert await self.admitted(limiter, one) == 0
        await clock.turn(1)
        assert await self.admitted(limiter, one) == 1

    @BOTH
    async def test_waiting_as_long_as_it_says_is_enough_and_no_less_is(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        one = charge(7, algorithm=algorithm)
        for pause_us in (0, 1, 999, 12_345_678, 3):
            await clock.turn(pause_us)
            await self.admitted(limiter, one)
            (balance,) = (await limiter.acquire([one])).balances
            assert balance.retry_us > 0
            await clock.turn(balance.retry_us - 1)
            assert not (await limiter.acquire([one])).allowed
            await clock.turn(1)
            assert (await limiter.acquire([one])).allowed

    @BOTH
    async def test_it_says_when_all_is_there_again(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        one = charge(3, algorithm=algorithm)
        await self.admitted(limiter, one)
        await clock.turn(1_000)
        (balance,) = (await limiter.acquire([one], cost=0)).balances
        assert balance.reset_us == 60 * SECOND_US - 1_000
        await clock.turn(balance.reset_us)
        (balance,) = (await limiter.acquire([one], cost=0)).balances
        assert (balance.remaining, balance.reset_us) == (3, 0)

    @BOTH
    async def test_a_cost_is_charged_in_full_or_not_at_all(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        one = charge(10, algorithm=algorithm)
        assert (await limiter.acquire([one], cost=7)).balances[0].remaining == 3
        refused = await limiter.acquire([one], cost=4)
        assert (refused.allowed, refused.balances[0].remaining) == (False, 3)
        assert (await limiter.acquire([one], cost=3)).allowed
        await clock.turn(60 * SECOND_US)
        assert (await limiter.acquire([one], cost=10)).allowed

    @BOTH
    async def test_waiting_out_the_refusal_of_a_cost_admits_that_cost(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        one = charge(10, algorithm=algorithm)
        await limiter.acquire([one], cost=7)
        assert not (await limiter.acquire([one], cost=4)).allowed
        wait_us = (await limiter.acquire([one], cost=6)).balances[0].retry_us
        await clock.turn(wait_us - 1)
        assert not (await limiter.acquire([one], cost=6)).allowed
        await clock.turn(1)
        assert (await limiter.acquire([one], cost=6)).allowed

    @BOTH
    async def test_what_one_policy_refuses_is_charged_to_none(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        wide, narrow = charge(10), charge(2, policy="narrow", algorithm=algorithm)
        assert await self.admitted(limiter, wide, narrow) == 2
        for order in ([wide, narrow], [narrow, wide]):
            decision = await limiter.acquire(order)
            assert not decision.allowed
            (left,) = (await limiter.acquire([wide], cost=0)).balances
            assert (left.remaining, left.reset_us) == (8, 12 * SECOND_US)
            assert {one.policy for one in decision.balances if one.retry_us} == {"narrow"}

    @BOTH
    async def test_a_look_charges_nothing(self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm):
        one = charge(3, algorithm=algorithm)
        for expected in (3, 2, 1, 0, 0):
            for _ in range(2):
                decision = await limiter.acquire([one], cost=0)
                assert (decision.allowed, decision.balances[0].remaining) == (True, expected)
            await limiter.acquire([one])

    @BOTH
    async def test_a_dry_run_judges_the_same_and_charges_nothing(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        one = charge(2, algorithm=algorithm)
        for allowed in (True, True, False, False):
            for _ in range(3):
                tried = await limiter.acquire([one], dry_run=True)
                assert tried.allowed is allowed
            assert (await limiter.acquire([one])).allowed is allowed
        await clock.turn(tried.balances[0].retry_us)
        assert (await limiter.acquire([one], dry_run=True)).allowed

    @BOTH
    async def test_subjects_and_policies_have_accounts_of_their_own(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        one = charge(2, algorithm=algorithm)
        others = [one._replace(subject="user:2"), one._replace(policy="other"), one._replace(subject="address:1")]
        for each in (one, *others):
            assert await self.admitted(limiter, each) == 2

    async def test_subjects_of_one_request_may_be_of_different_kinds(self, limiter: RateLimiterPort, clock: Turnable):
        address, account = charge(4, subject="address:::1"), charge(2, policy="login", subject="account:ab")
        assert await self.admitted(limiter, address, account) == 2
        assert await self.admitted(limiter, address) == 2

    @BOTH
    async def test_another_limit_is_judged_on_the_same_account(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        small, large = charge(2, algorithm=algorithm), charge(6, algorithm=algorithm)
        assert await self.admitted(limiter, large) == 6
        assert not (await limiter.acquire([small])).allowed
        await clock.turn(61 * SECOND_US)
        assert await self.admitted(limiter, small) == 2
        await clock.turn(10 * SECOND_US)
        assert await self.admitted(limiter, small) == 0
        assert await self.admitted(limiter, large) >= 1

    @BOTH
    async def test_a_clock_that_goes_back_an_hour_locks_nobody_out(
        self, limiter: RateLimiterPort, clock: Turnable, algorithm: Algorithm
    ):
        one = charge(3, algorithm=algorithm)
        await self.admitted(limiter, one)
        await clock.turn(-3_600 * SECOND_US)
        decision = await limiter.acquire([one])
        assert not decision.allowed
        assert decision.balances[0].retry_us <= 60 * SECOND_US
        await clock.turn(60 * SECOND_US)
        assert await self.admitted(limiter, one) == 3
