"""Rate limits: who is charged for what, and what happens to a request while the shared limiter does not answer."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace

from fitness.domain.model.rate_limits import (
    POLICIES,
    USER,
    WHEN_UNAVAILABLE,
    Action,
    Charge,
    Decision,
    Limit,
    Policy,
    RateLimited,
    Subject,
    Unjudged,
    WhenUnavailable,
)
from fitness.domain.model.users import Caller, EmailAddress, Tier, account_name
from fitness.domain.use_cases.caching.keys import tier_key
from fitness.domain.use_cases.caching.reads import CachedReads
from fitness.ports.outages import DatabaseUnavailable, LimiterUnavailable
from fitness.ports.rate_limits import RateLimiterPort
from fitness.ports.users import UserRepoPort

MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Requester:
    """Where a request comes from: `caller` where somebody is logged in, `account` where somebody tries to log in."""

    address: str
    caller: Caller | None = None
    account: EmailAddress | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests an instance of the service admits."""

    scale: float
    """Multiplies every limit; 0 is no limits at all."""
    processes: int
    """Each judges by its part of a limit while the shared limiter does not answer."""
    account_secret: bytes
    """Login attempts are counted under a keyed hash of the address, which gives no address away."""


class LimitService:
    """`limiter` is shared by all processes; `local` is this process's own and counts what either admitted here."""

    def __init__(
        self,
        limiter: RateLimiterPort,
        local: RateLimiterPort,
        users: UserRepoPort,
        cached: CachedReads,
        limits: Limits,
    ) -> None:
        self._limiter = limiter
        self._local = local
        self._users = users
        self._cached = cached
        self._limits = limits
        self._one_at_a_time = asyncio.Lock()
        self._last_tiers: OrderedDict[int, Tier] = OrderedDict()
        self._applying = {
            (action, tier): [
                (policy, limit.scaled(limits.scale))
                for policy in POLICIES
                if policy.action is action and (limit := policy.limit(tier)) is not None
            ]
            for action in (None, *Action)
            for tier in (None, *Tier)
        }

    async def admit(self, action: Action, who: Requester) -> Decision | Unjudged | None:
        """Charge a request. None where limits are switched off.

        Raises RateLimited, and LimiterUnavailable where the limiter does not answer and the action needs it.
        """
        if not self._limits.scale:
            return None
        try:
            if WHEN_UNAVAILABLE.get(action) is WhenUnavailable.JUDGE_LOCALLY:
                decision = await self._acquire_from_both(self._charges(action, who, await self._tier(who)))
            else:
                decision = await self._acquire(action, who)
        except LimiterUnavailable:
            return await self._without_limiter(action, who)
        if not decision.allowed:
            raise RateLimited(decision)
        return decision

    async def _acquire(self, action: Action, who: Requester) -> Decision:
        """Under the tier that this process saw last, while the present one is read: both in one round trip.

        Only where the tier has changed is the request judged again, under the present one.
        """
        last = self._last_tiers.get(who.caller.id) if who.caller is not None else None
        if last is None:
            return await self._limiter.acquire(self._charges(action, who, await self._tier(who)))
        decision, tier = await asyncio.gather(
            self._limiter.acquire(self._charges(action, who, last)), self._tier(who), return_exceptions=True
        )
        if isinstance(tier, BaseException):
            raise tier
        if isinstance(decision, BaseException):
            raise decision
        return decision if tier is last else await self._limiter.acquire(self._charges(action, who, tier))

    async def _acquire_from_both(self, charges: list[Charge]) -> Decision:
        """The shared limiter's decision, unless the local one refuses: it knows what was admitted during an outage.

        Both are asked before either is charged, so that a refusal charges neither, and its Retry-After is the longer of
        both. One request at a time: otherwise two requests could both be judged before the first one is charged.
        """
        async with self._one_at_a_time:
            local = await self._local.acquire(charges, dry_run=True)
            if not local.allowed:
                return _stricter(local, await self._limiter.acquire(charges, dry_run=True))
            decision = await self._limiter.acquire(charges)
            if decision.allowed:  # charged here too, so that an outage begins with what was admitted before it
                await self._local.acquire(charges)
            return decision

    async def standing(self, who: Requester) -> tuple[Tier | None, Decision | None]:
        """The caller's balance under every policy that can apply, free of charge; None where limits are switched off.

        Raises LimiterUnavailable.
        """
        tier = await self._tier(who)
        if not self._limits.scale:
            return tier, None
        charges = [charge for action in (None, *Action) for charge in self._charges_for(action, who, tier)]
        return tier, await self._limiter.acquire(charges, cost=0)

    async def _without_limiter(self, action: Action, who: Requester) -> Decision | Unjudged:
        outcome = WHEN_UNAVAILABLE.get(action, WhenUnavailable.ADMIT)
        if outcome is WhenUnavailable.REFUSE:
            raise LimiterUnavailable("this needs the rate limiter, which is not available; try again")
        if outcome is WhenUnavailable.ADMIT:
            last = Tier.FREE if who.caller is None else self._last_tiers.get(who.caller.id, Tier.FREE)
            return Unjudged(tuple(self._charges(action, who, None if who.caller is None else last)))
        charges = [self._part_of_this_process(charge) for charge in self._charges(action, who, None)]
        decision = await self._local.acquire(charges)
        if not decision.allowed:
            raise RateLimited(decision)
        return decision

    async def _tier(self, who: Requester) -> Tier | None:
        """None for somebody who is not logged in."""
        if who.caller is None:
            return None
        user_id = who.caller.id
        try:
            tier = (await self._cached.read_through(tier_key(user_id), lambda: self._load_tier(user_id))).value
        except DatabaseUnavailable:
            return self._last_tiers.get(user_id, Tier.FREE)
        self._last_tiers[user_id] = tier
        if len(self._last_tiers) > MOST_REMEMBERED:
            self._last_tiers.popitem(last=False)
        return tier

    async def _load_tier(self, user_id: int) -> Tier:
        user = await self._users.get(user_id)
        return Tier.FREE if user is None else user.tier

    def _charges(self, action: Action, who: Requester, tier: Tier | None) -> list[Charge]:
        return [*self._charges_for(None, who, tier), *self._charges_for(action, who, tier)]

    def _charges_for(self, action: Action | None, who: Requester, tier: Tier | None) -> list[Charge]:
        return [
            Charge(policy.name, subject, limit)
            for policy, limit in self._applying[action, tier]
            if (subject := self._subject(policy, who)) is not None
        ]

    def _subject(self, policy: Policy, who: Requester) -> str | None:
        if policy.subject is Subject.ACCOUNT:
            return None if who.account is None else f"account:{account_name(who.account, self._limits.account_secret)}"
        if policy.subject is Subject.CALLER and who.caller is not None:
            return f"{USER}{who.caller.id}"
        return f"address:{who.address}"

    def _part_of_this_process(self, charge: Charge) -> Charge:
        """Of the limit; at least one request."""
        limit: Limit = charge.limit
        return replace(charge, limit=replace(limit, requests=max(1, limit.requests // self._limits.processes)))


def _stricter(one: Decision, other: Decision) -> Decision:
    """For each policy the balance that keeps the caller waiting longer. Either may leave out policies that admit."""
    balances = {balance.policy: balance for balance in one.balances}
    for balance in other.balances:
        known = balances.get(balance.policy, balance)
        balances[balance.policy] = max(known, balance, key=lambda one: (one.retry_us, -one.remaining))
    return Decision(tuple(balances.values()))
