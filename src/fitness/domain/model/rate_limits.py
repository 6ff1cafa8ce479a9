"""Limits on requests: which there are, for whom and for what, and how each is judged, as pure functions.

All times are whole microseconds of one clock, so that whoever computes them gets the same answer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from fitness.domain.model.refusals import Refusal
from fitness.domain.model.users import Tier

SECOND_US = 1_000_000


class Action(StrEnum):
    """What a route does, as far as limits are concerned."""

    OTHER = "other"
    CREATE = "create"
    LIST = "list"
    PURGE = "purge"
    REGISTER = "register"
    LOGIN = "login"
    REFRESH = "refresh"


class Outcome(StrEnum):
    """What becomes of a request that the limiter cannot judge."""

    ADMITTED = "admitted"
    JUDGED_HERE = "judged here"
    REFUSED = "refused"


WITHOUT_LIMITER = {
    Action.PURGE: Outcome.REFUSED,
    Action.REGISTER: Outcome.JUDGED_HERE,
    Action.LOGIN: Outcome.JUDGED_HERE,
    Action.REFRESH: Outcome.JUDGED_HERE,
}
"""Where it is not plainly admitted."""


class Algorithm(StrEnum):
    TOKEN_BUCKET = "token bucket"  # noqa: S105 - no password
    SLIDING_WINDOW = "sliding window"


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` in `per_s` seconds.

    A token bucket holds that many and refills evenly: up to `requests` at once, and over any time no more than
    `requests` + elapsed / interval. A sliding window admits exactly that many in any `per_s` seconds.
    """

    requests: int
    per_s: int = 60
    algorithm: Algorithm = Algorithm.TOKEN_BUCKET

    @property
    def per_us(self) -> int:
        return self.per_s * SECOND_US

    @property
    def interval_us(self) -> int:
        """In which one token comes back; rounded up, so that rounding never admits one too many."""
        return -(-self.per_us // self.requests)

    def scaled(self, by: float) -> "Limit":
        """So many times as much, at least one request."""
        return replace(self, requests=max(1, round(self.requests * by)))


class Subject(StrEnum):
    """Whose requests are counted together."""

    CALLER = "caller"
    """The account; without one, the address."""
    ADDRESS = "address"
    ACCOUNT = "account"
    """The one that somebody wants to get into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One row of the table of limits. Where a kind of caller has no limit, the policy does not apply to it."""

    name: str
    action: Action | None = None
    """None for every request."""
    subject: Subject = Subject.CALLER
    anonymous: Limit | None = None
    free: Limit | None = None
    premium: Limit | None = None

    def limit(self, tier: Tier | None) -> Limit | None:
        """For someone of this tier; None for anonymous ones."""
        return self.anonymous if tier is None else {Tier.FREE: self.free, Tier.PREMIUM: self.premium}[tier]


def _strictly(requests: int) -> Limit:
    return Limit(requests, algorithm=Algorithm.SLIDING_WINDOW)


POLICIES = (
    Policy(name="requests", anonymous=Limit(20), free=Limit(100), premium=Limit(500)),
    Policy(name="create", action=Action.CREATE, free=Limit(10), premium=Limit(50)),
    Policy(name="list", action=Action.LIST, free=Limit(100), premium=Limit(500)),
    Policy(name="login_address", action=Action.LOGIN, subject=Subject.ADDRESS, anonymous=_strictly(5)),
    Policy(name="login_account", action=Action.LOGIN, subject=Subject.ACCOUNT, anonymous=_strictly(5)),
    Policy(name="register", action=Action.REGISTER, subject=Subject.ADDRESS, anonymous=_strictly(5)),
    Policy(name="refresh", action=Action.REFRESH, subject=Subject.ADDRESS, anonymous=_strictly(30)),
)


USER = "user:"


@dataclass(frozen=True, slots=True)
class Charge:
    """One policy on one request, and on whose account it goes: `user:7`, or something else for who is not logged in."""

    policy: str
    subject: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class Balance:
    """Where a policy's subject stands after a request was judged."""

    policy: str
    limit: Limit
    remaining: int
    """Requests that would be admitted at once."""
    reset_us: int
    """Until all of it is there again, if nothing more is asked."""
    retry_us: int
    """Until this policy would admit what it refused; 0 where it refused nothing."""


@dataclass(frozen=True, slots=True)
class Decision:
    """On one request: admitted and charged to every policy, or refused and charged to none."""

    balances: tuple[Balance, ...]

    @property
    def allowed(self) -> bool:
        return not any(balance.retry_us for balance in self.balances)

    @property
    def tightest(self) -> Balance:
        """The one that keeps the caller waiting longest, else the one with the least left."""
        return max(self.balances, key=lambda one: (one.retry_us, -one.remaining, one.reset_us))

    @property
    def retry_after_s(self) -> int:
        """Whole seconds, rounded up: whoever waits them out alone is admitted."""
        return math.ceil(max(balance.retry_us for balance in self.balances) / SECOND_US)


class RateLimited(Refusal):
    """More requests than a policy admits."""

    def __init__(self, decision: Decision) -> None:
        tightest = decision.tightest
        super().__init__(
            f"more than {tightest.limit.requests} requests in {tightest.limit.per_s} seconds; "
            f"try again in {decision.retry_after_s} seconds"
        )
        self.decision = decision


State = tuple[int, ...]
"""What is kept of a subject under a policy, () at first. A token bucket: the time at which it will be full again. A
sliding window: the times of the requests in it, ascending."""


def judged(
    charges: Sequence[Charge], states: Sequence[State], *, now_us: int, cost: int = 1
) -> tuple[Decision, list[State]]:
    """What becomes of a request that costs so much, and every policy's state after it. A cost of 0 only looks.

    A clock that went back is no reason to wait: what lies in its future counts as of now.
    """
    judge = [_bucket if charge.limit.algorithm is Algorithm.TOKEN_BUCKET else _window for charge in charges]
    retries = [
        one(charge.limit, state, now_us, cost)[1] for one, charge, state in zip(judge, charges, states, strict=True)
    ]
    charged = 0 if any(retries) else cost
    balances, after = [], []
    for one, charge, state, retry_us in zip(judge, charges, states, retries, strict=True):
        new, _, remaining, reset_us = one(charge.limit, state, now_us, charged)
        balances.append(Balance(charge.policy, charge.limit, remaining, reset_us, retry_us))
        after.append(new)
    return Decision(tuple(balances)), after


def _bucket(limit: Limit, state: State, now_us: int, cost: int) -> tuple[State, int, int, int]:
    """The generic cell rate algorithm: the state after, how long until it fits, what remains, until when it is full."""
    interval_us = limit.interval_us
    full_us = limit.requests * interval_us
    # What lies beyond is left by a clock that went back; kept, it would refuse until the clock is there again.
    kept = tuple(min(at_us, now_us + full_us) for at_us in state)
    after_us = max((now_us, *kept)) + cost * interval_us
    used_us = after_us - now_us
    return (after_us,) if cost else kept, max(0, used_us - full_us), max(0, full_us - used_us) // interval_us, used_us


def _window(limit: Limit, state: State, now_us: int, cost: int) -> tuple[State, int, int, int]:
    """Every request's time, for as long as it counts."""
    counted = [min(at_us, now_us) for at_us in state if min(at_us, now_us) > now_us - limit.per_us]
    too_many = len(counted) + cost - limit.requests
    retry_us = counted[too_many - 1] + limit.per_us - now_us if cost and too_many > 0 else 0
    after = (*counted, *[now_us] * cost)
    reset_us = after[-1] + limit.per_us - now_us if after else 0
    return after, retry_us, max(0, limit.requests - len(after)), reset_us
