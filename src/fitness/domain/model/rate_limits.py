"""Limits on requests: which there are, for whom and for what, and how each is judged, as pure functions.

All times are whole microseconds of one clock, so that whoever computes them gets the same answer.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from fitness.domain.model.refusals import Refusal, in_seconds
from fitness.domain.model.users import Tier

SECOND_US = 1_000_000


class Action(StrEnum):
    """What a route does, as far as limits are concerned."""

    OTHER = "other"
    CREATE = "create"
    IMPORT = "import"
    UPLOAD = "upload"
    """The upload of a photo."""
    LIST = "list"
    PURGE = "purge"
    REGISTER = "register"
    LOGIN = "login"
    GUESS = "guess"
    """A login whose body has been read, so that its account is known; charged after LOGIN, and apart from it."""
    REFRESH = "refresh"
    PASSWORD = "password"  # noqa: S105 - no password
    """A request that asks for the password of somebody who is logged in."""


class WhenUnavailable(StrEnum):
    """What happens to a request while the shared limiter does not answer."""

    ADMIT = "admit"
    JUDGE_LOCALLY = "judge locally"
    REFUSE = "refuse"


WHEN_UNAVAILABLE = {
    Action.PURGE: WhenUnavailable.REFUSE,
    Action.REGISTER: WhenUnavailable.JUDGE_LOCALLY,
    Action.LOGIN: WhenUnavailable.JUDGE_LOCALLY,
    Action.GUESS: WhenUnavailable.JUDGE_LOCALLY,
    Action.REFRESH: WhenUnavailable.JUDGE_LOCALLY,
    Action.PASSWORD: WhenUnavailable.JUDGE_LOCALLY,
}
"""Every other action is admitted."""


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
        """The time in which one token comes back, rounded up, so that rounding never admits one request too many."""
        return -(-self.per_us // self.requests)

    def scaled(self, by: float) -> "Limit":
        """This limit times `by`; at least one request."""
        return replace(self, requests=max(1, round(self.requests * by)))

    def shared_by(self, processes: int) -> "Limit":
        """The part of one process: whole requests, or else one request in a longer time. All parts together are no more
        than the limit.
        """
        if self.requests >= processes:
            return replace(self, requests=self.requests // processes)
        return replace(self, requests=1, per_s=math.ceil(self.per_s * processes / self.requests))


class Subject(StrEnum):
    """Whose requests are counted together."""

    CALLER = "caller"
    """The account; at a login, the known devices of the account together; else the address."""
    ADDRESS = "address"
    """The address, unless the device is known."""
    DEVICE = "device"
    """A device that has logged in to the account before."""
    NETWORK = "network"
    """A network from which somebody has logged in to the account before."""
    STRANGERS = "strangers"
    """All others who try to log in to the same account, whether or not it exists."""
    REPEATED_STRANGERS = "repeated strangers"
    """The strangers from a neighbourhood in which somebody has failed to log in already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One row of the table of limits. Where a kind of caller has no limit, the policy does not apply to it."""

    name: str
    action: Action | None = None
    """The action that the policy applies to; None for every request."""
    subject: Subject = Subject.CALLER
    anonymous: Limit | None = None
    free: Limit | None = None
    premium: Limit | None = None

    def limit(self, tier: Tier | None) -> Limit | None:
        """The limit for a caller of this tier; a `tier` of None is an anonymous caller."""
        return self.anonymous if tier is None else {Tier.FREE: self.free, Tier.PREMIUM: self.premium}[tier]


def _strictly(requests: int) -> Limit:
    return Limit(requests, algorithm=Algorithm.SLIDING_WINDOW)


POLICIES = (
    Policy(name="requests", anonymous=Limit(20), free=Limit(100), premium=Limit(500)),
    Policy(name="create", action=Action.CREATE, free=Limit(10), premium=Limit(50)),
    Policy(name="import", action=Action.IMPORT, free=Limit(200), premium=Limit(1_000)),
    Policy(name="upload", action=Action.UPLOAD, free=Limit(20), premium=Limit(100)),
    Policy(name="list", action=Action.LIST, free=Limit(100), premium=Limit(500)),
    Policy(name="login_address", action=Action.GUESS, subject=Subject.ADDRESS, anonymous=_strictly(5)),
    Policy(name="login_device", action=Action.LOGIN, subject=Subject.DEVICE, anonymous=_strictly(5)),
    Policy(name="login_network", action=Action.GUESS, subject=Subject.NETWORK, anonymous=_strictly(5)),
    Policy(name="login_account", action=Action.GUESS, subject=Subject.STRANGERS, anonymous=_strictly(5)),
    # Less than `login_account`, so that guessing strangers leave some attempts to an owner who uses a new network.
    Policy(name="login_repeated", action=Action.GUESS, subject=Subject.REPEATED_STRANGERS, anonymous=_strictly(3)),
    Policy(name="register", action=Action.REGISTER, subject=Subject.ADDRESS, anonymous=_strictly(5)),
    Policy(name="refresh", action=Action.REFRESH, subject=Subject.ADDRESS, anonymous=_strictly(30)),
    Policy(name="password", action=Action.PASSWORD, free=_strictly(5), premium=_strictly(5)),
)


USER = "user:"


# Charges, balances and decisions are tuples, since each request makes some: a frozen dataclass takes longer to make.


class Charge(NamedTuple):
    """One policy on one request, and the subject to charge: `user:7`, or an address or account without a login."""

    policy: str
    subject: str
    limit: Limit


class Balance(NamedTuple):
    """Where a policy's subject stands after a request was judged."""

    policy: str
    limit: Limit
    remaining: int
    """The number of requests that would be admitted at once."""
    reset_us: int
    """Microseconds until the whole limit is there again, if no further request comes."""
    retry_us: int
    """Microseconds until this policy would admit the request that it refused; 0 if it refused nothing."""


def _tightness(balance: Balance) -> tuple[int, int, int]:
    _, _, remaining, reset_us, retry_us = balance
    return retry_us, -remaining, reset_us


class Decision(NamedTuple):
    """The decision on one request: admitted and charged to every policy, or refused and charged to none."""

    balances: tuple[Balance, ...]

    @property
    def allowed(self) -> bool:
        for balance in self.balances:  # noqa: SIM110 - a generator would cost a request more than the rest of this
            if balance.retry_us:
                return False
        return True

    @property
    def tightest(self) -> Balance:
        """The balance that keeps the caller waiting longest, else the balance with the least left."""
        if len(self.balances) == 1:
            return self.balances[0]
        return max(self.balances, key=_tightness)

    @property
    def retry_after_s(self) -> int:
        """Whole seconds, rounded up: whoever waits them out alone is admitted."""
        return math.ceil(max(balance.retry_us for balance in self.balances) / SECOND_US)

    def followed_by(self, later: "Decision") -> "Decision":
        """This decision, after the same request was judged once more under some of its policies, by `later`."""
        judged_again = {balance.policy for balance in later.balances}
        return Decision((*(one for one in self.balances if one.policy not in judged_again), *later.balances))

    def for_all_of_it(self) -> "Decision":
        """For a refusal of all tokens of a request but the first one: the same refusal, with the wait after which the
        whole request is admitted, which is one token more. For token buckets.
        """
        return Decision(
            tuple(
                [
                    one._replace(retry_us=one.retry_us + one.limit.interval_us) if one.retry_us else one
                    for one in self.balances
                ]
            )
        )


def together(first: Decision | None, then: Decision | None) -> Decision | None:
    """Two decisions on one request as one: for each policy the later decision counts. None if there is neither."""
    balances = {balance.policy: balance for one in (first, then) if one is not None for balance in one.balances}
    return Decision(tuple(balances.values())) if balances else None


def stricter(one: Decision, other: Decision) -> Decision:
    """For each policy the balance that keeps the caller waiting longer. Either may leave out policies that admit."""
    balances = {balance.policy: balance for balance in one.balances}
    for balance in other.balances:
        known = balances.get(balance.policy, balance)
        balances[balance.policy] = max(known, balance, key=lambda one: (one.retry_us, -one.remaining))
    return Decision(tuple(balances.values()))


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A request that was admitted while the limiter did not answer, and the limits that it is under."""

    charges: tuple[Charge, ...]


class RateLimited(Refusal):
    """More requests than a policy admits."""

    def __init__(self, decision: Decision) -> None:
        tightest = decision.tightest
        super().__init__(
            f"more than {tightest.limit.requests} requests in {in_seconds(tightest.limit.per_s)}; "
            f"try again in {in_seconds(decision.retry_after_s)}"
        )
        self.decision = decision
