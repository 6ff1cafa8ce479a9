"""Rate limits: who is charged for what, and what becomes of a request while nobody can be asked."""

from dataclasses import dataclass, replace

from fitness.domain.model.rate_limits import (
    POLICIES,
    USER,
    WITHOUT_LIMITER,
    Action,
    Charge,
    Decision,
    Limit,
    Outcome,
    Policy,
    RateLimited,
    Subject,
)
from fitness.domain.model.users import Caller, EmailAddress, Tier, account_name
from fitness.domain.use_cases.caching import CachedReads, tier_key
from fitness.ports.outages import DatabaseUnavailable, LimiterUnavailable
from fitness.ports.rate_limits import RateLimiterPort
from fitness.ports.users import UserRepoPort


@dataclass(frozen=True, slots=True)
class Requester:
    """Whom a request comes from: `caller` where somebody is logged in, `account` where somebody wants to be."""

    address: str
    caller: Caller | None = None
    account: EmailAddress | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of everything an instance of the service admits."""

    scale: float
    """Multiplies every limit; 0 is no limits at all."""
    processes: int
    """Among which the limits are shared out while each has to judge for itself."""
    account_secret: bytes
    """Accounts that somebody wants to get into are counted under a name that gives no address away."""


class LimitService:
    """`limiter` is shared by all processes; `local` is this one's own, which knows what the other one admitted here."""

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
        self._applying = {
            (action, tier): [
                (policy, limit.scaled(limits.scale))
                for policy in POLICIES
                if policy.action is action and (limit := policy.limit(tier)) is not None
            ]
            for action in (None, *Action)
            for tier in (None, *Tier)
        }

    async def admit(self, action: Action, who: Requester) -> Decision | None:
        """Charge a request. None where nothing limits it, or nobody can say and it is let through.

        Raises RateLimited, and LimiterUnavailable where nobody can say and it must not pass.
        """
        if not self._limits.scale:
            return None
        charges = self._charges(action, who, await self._tier(who))
        try:
            decision = await self._limiter.acquire(charges)
        except LimiterUnavailable:
            return await self._without_limiter(action, who)
        if decision.allowed and WITHOUT_LIMITER.get(action) is Outcome.JUDGED_HERE:
            # Kept warm, and heard: it knows what was admitted while the other was away.
            decision = _stricter(decision, await self._local.acquire(charges))
        if not decision.allowed:
            raise RateLimited(decision)
        return decision

    async def standing(self, who: Requester) -> tuple[Tier | None, Decision | None]:
        """Where the caller stands under every policy that can apply, free of charge; None where nothing is limited.

        Raises LimiterUnavailable.
        """
        tier = await self._tier(who)
        if not self._limits.scale:
            return tier, None
        charges = [charge for action in (None, *Action) for charge in self._charges_for(action, who, tier)]
        return tier, await self._limiter.acquire(charges, cost=0)

    async def _without_limiter(self, action: Action, who: Requester) -> Decision | None:
        outcome = WITHOUT_LIMITER.get(action, Outcome.ADMITTED)
        if outcome is Outcome.REFUSED:
            raise LimiterUnavailable("Redis does not answer, and this is not done without it")
        if outcome is Outcome.ADMITTED:
            return None
        share = [self._share(charge) for charge in self._charges(action, who, None)]
        decision = await self._local.acquire(share)
        if not decision.allowed:
            raise RateLimited(decision)
        return decision

    async def _tier(self, who: Requester) -> Tier | None:
        """None for somebody who is not logged in."""
        if who.caller is None:
            return None
        user_id = who.caller.id
        try:
            return (await self._cached.through(tier_key(user_id), lambda: self._load_tier(user_id))).value
        except DatabaseUnavailable:
            return Tier.FREE

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

    def _share(self, charge: Charge) -> Charge:
        """This process's part of a limit, at least one request."""
        limit: Limit = charge.limit
        return replace(charge, limit=replace(limit, requests=max(1, limit.requests // self._limits.processes)))


def _stricter(one: Decision, other: Decision) -> Decision:
    return one if other.allowed else other
