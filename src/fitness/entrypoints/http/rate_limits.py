"""/rate-limit, and what every response says of limits: headers as clients and the IETF's draft spell them."""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from fitness.domain.model.rate_limits import SECOND_US, Balance, Decision
from fitness.domain.model.users import Tier
from fitness.domain.use_cases.limiting import LimitService, Requester
from fitness.entrypoints.http.gate import CALLER_IF_ANY, DATABASELESS, requester_of
from fitness.ports.outages import LimiterUnavailable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyBalance:
    policy: str
    limit: int
    """Requests in `per_seconds`."""
    per_seconds: int
    remaining: int
    reset_seconds: int
    """Until all of it is there again."""


@dataclass(frozen=True, slots=True)
class LimitsBody:
    tier: Tier | None
    """Null for somebody who is not logged in."""
    limits: tuple[PolicyBalance, ...]
    """Empty where limits are switched off."""


@get("/rate-limit", tags=["accounts"], opt={CALLER_IF_ANY: True, DATABASELESS: True, "refuses": (LimiterUnavailable,)})
async def rate_limit(request: Request[Any, Any, Any], limits: NamedDependency[LimitService]) -> Response[LimitsBody]:
    """One's own limits and what is left of them; free of charge. Without a token, those of one's address."""
    tier, decision = await limits.standing(requester_of(request))
    balances = decision.balances if decision else ()
    body = LimitsBody(tier, tuple(_balance(one) for one in balances))
    return Response(body, headers={"Cache-Control": "no-store"})


def limit_headers(decision: Decision) -> Iterator[tuple[bytes, bytes]]:
    """Seconds are whole and rounded up. `RateLimit` and its policy are Structured Fields (RFC 9651): lists of strings
    with parameters, as draft-ietf-httpapi-ratelimit-headers has them.
    """
    tightest = decision.tightest
    yield b"x-ratelimit-limit", b"%d" % tightest.limit.requests
    yield b"x-ratelimit-remaining", b"%d" % tightest.remaining
    yield b"x-ratelimit-reset", b"%d" % _seconds(tightest.reset_us)
    balances = decision.balances
    policies = (f'"{one.policy}";q={one.limit.requests};w={one.limit.per_s}' for one in balances)
    yield b"ratelimit-policy", ", ".join(policies).encode()
    rests = (f'"{one.policy}";r={one.remaining};t={_seconds(one.retry_us or one.reset_us)}' for one in balances)
    yield b"ratelimit", ", ".join(rests).encode()


class ViolationLog:
    """A line for the first refusal under each policy, and then one in PAUSE_S with the number of those between."""

    PAUSE_S = 10.0

    def __init__(self) -> None:
        self._since: Counter[str] = Counter()
        self._told_s: dict[str, float] = {}

    def tell(self, decision: Decision, route: str, requester: Requester) -> None:
        policy = decision.tightest.policy
        now_s = time.monotonic()
        self._since[policy] += 1
        if now_s < self._told_s.get(policy, -math.inf) + self.PAUSE_S:
            return
        who = f"user {requester.caller.id}" if requester.caller else f"address {requester.address}"
        _log.warning("%s refused %s times; last to %s on %s", policy, self._since.pop(policy), who, route)
        self._told_s[policy] = now_s


def _balance(balance: Balance) -> PolicyBalance:
    return PolicyBalance(
        balance.policy, balance.limit.requests, balance.limit.per_s, balance.remaining, _seconds(balance.reset_us)
    )


def _seconds(span_us: int) -> int:
    return math.ceil(span_us / SECOND_US)
