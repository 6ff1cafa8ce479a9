"""The rate limiter in Redis: one script a request."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from fitness.adapters.redis.client import AnyRedis
from fitness.adapters.redis.deadlines import answering
from fitness.domain.model.rate_limits import USER, Balance, Charge, Decision
from fitness.ports.outages import LimiterUnavailable

SCHEMA = "v1"
"""Raised with every change to what is kept."""

SCRIPT = files("fitness.adapters.redis").joinpath("rate_limits.lua").read_text(encoding="utf-8")


class RedisRateLimiter:
    def __init__(self, redis: AnyRedis, script: str = SCRIPT) -> None:
        self._script: Any = redis.register_script(script)

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        arguments: list[Any] = [cost, "dry run" if dry_run else "charge"]
        for charge in charges:
            limit = charge.limit
            arguments += [limit.algorithm, limit.requests, limit.per_us, limit.interval_us]
        async with answering(LimiterUnavailable):
            answer = await self._script(keys=[_name(charge) for charge in charges], args=arguments)
        balances = zip(charges, answer[0::3], answer[1::3], answer[2::3], strict=True)
        return Decision(tuple(Balance(charge.policy, charge.limit, *numbers) for charge, *numbers in balances))


def _name(charge: Charge) -> str:
    # Braces are a cluster's hash tag: what one script judges together shares a slot. That is all of one user's, or
    # else an address's and an account's, which have nothing in common but that nobody is logged in.
    tag = charge.subject if charge.subject.startswith(USER) else "anonymous"
    algorithm = charge.limit.algorithm.name.lower()
    return f"{SCHEMA}:limit:{{{tag}}}:{charge.policy}:{algorithm}:{charge.subject}"
