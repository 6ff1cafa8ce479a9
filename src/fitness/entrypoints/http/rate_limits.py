"""/rate-limit, the rate limit headers of every response, and a log of exceeded limits."""

import asyncio
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.rate_limits import SECOND_US, Action, Balance, Decision, Unjudged
from fitness.domain.model.users import Tier
from fitness.domain.use_cases.limiting import LimitService
from fitness.domain.use_cases.requesters import Requester
from fitness.entrypoints.http.gate import requester_of
from fitness.entrypoints.http.routes import Access, Route
from fitness.ports.outages import LimiterUnavailable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyBalance:
    policy: str
    """Its name."""
    limit: int
    """Requests in `per_seconds`."""
    per_seconds: int
    """The span that `limit` is for."""
    remaining: int
    """How many of them are left."""
    reset_seconds: int
    """Until `remaining` is `limit` again."""


@dataclass(frozen=True, slots=True)
class RateLimitsBody:
    tier: Tier | None
    """Null without an access token."""
    limits: tuple[PolicyBalance, ...]
    """Empty where limits are switched off."""


@get(
    "/rate-limit",
    tags=["accounts"],
    opt=Route(
        access=Access.ACCOUNT_OPTIONAL,
        scope=ApiScope.PROFILE_READ,
        action=Action.OTHER,
        refuses=(LimiterUnavailable,),
        limited=False,
        unstored=True,
    ).opt,
)
async def rate_limit(
    request: Request[Any, Any, Any], limits: NamedDependency[LimitService]
) -> Response[RateLimitsBody]:
    """The caller's limits and what is left of them; free of charge. Without a token, those of the client's address."""
    tier, decision = await limits.standing(requester_of(request))
    balances = decision.balances if decision else ()
    body = RateLimitsBody(tier, tuple(_balance(one) for one in balances))
    return Response(body, headers={"Cache-Control": "no-store"})


def limit_headers(decision: Decision | Unjudged) -> list[tuple[bytes, bytes]]:
    """Seconds are whole and rounded up. `RateLimit` and `RateLimit-Policy` are Structured Fields (RFC 9651): lists of
    strings with parameters, as in draft-ietf-httpapi-ratelimit-headers. What is left is stated only if it is known.
    """
    if isinstance(decision, Unjudged):
        least = min(charge.limit.requests for charge in decision.charges)
        unknown = [_policy(one.policy, one.limit.requests, one.limit.per_s) for one in decision.charges]
        return [(b"x-ratelimit-limit", b"%d" % least), (b"ratelimit-policy", b", ".join(unknown))]
    policies, left = [], []
    for policy, limit, remaining, reset_us, retry_us in decision.balances:
        policies.append(_policy(policy, limit.requests, limit.per_s))
        left.append(f'"{policy}";r={remaining};t={_seconds(retry_us or reset_us)}')
    _, limit, remaining, reset_us, _ = decision.tightest
    return [
        (b"x-ratelimit-limit", b"%d" % limit.requests),
        (b"x-ratelimit-remaining", b"%d" % remaining),
        (b"x-ratelimit-reset", b"%d" % _seconds(reset_us)),
        (b"ratelimit-policy", b", ".join(policies)),
        (b"ratelimit", ", ".join(left).encode()),
    ]


@lru_cache(maxsize=1_000)
def _policy(name: str, requests: int, per_s: int) -> bytes:
    return f'"{name}";q={requests};w={per_s}'.encode()


class ViolationLog:
    """Logs the first refusal under each policy at once; then, every `pause_s` while they go on, how many there were."""

    def __init__(self, pause_s: float = 10.0) -> None:
        self._pause_s = pause_s
        self._since: dict[str, tuple[int, str]] = {}
        """The refusals under each policy since its last line: how many, and to whom and where the last one was."""

    def record(self, decision: Decision, route: str, requester: Requester) -> None:
        policy = decision.tightest.policy
        who = f"user {requester.caller.id}" if requester.caller else f"address {requester.address}"
        last = f"{who} on {route}"
        if policy in self._since:
            self._since[policy] = self._since[policy][0] + 1, last
        else:
            self._say(policy, 1, last)

    def _say(self, policy: str, count: int, last: str) -> None:
        _log.warning("%s refused %s times; last to %s", policy, count, last)
        self._since[policy] = 0, ""
        asyncio.get_running_loop().call_later(self._pause_s, self._look, policy)

    def _look(self, policy: str) -> None:
        count, last = self._since.pop(policy)
        if count:
            self._say(policy, count, last)


def _balance(balance: Balance) -> PolicyBalance:
    return PolicyBalance(
        balance.policy, balance.limit.requests, balance.limit.per_s, balance.remaining, _seconds(balance.reset_us)
    )


def _seconds(span_us: int) -> int:
    return -(-span_us // SECOND_US)
