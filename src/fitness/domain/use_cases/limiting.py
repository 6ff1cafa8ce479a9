"""Rate limits: who is charged for what, and what happens to a request while the shared limiter does not answer."""

from collections import OrderedDict
from contextlib import suppress
from typing import Any, NamedTuple

from fitness.domain.model.rate_limits import (
    POLICIES,
    WHEN_UNAVAILABLE,
    Action,
    Charge,
    Decision,
    RateLimited,
    Unjudged,
    WhenUnavailable,
)
from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import Caller, Standing, Tier
from fitness.domain.use_cases.begun import Begun
from fitness.domain.use_cases.caching.keys import standing_key
from fitness.domain.use_cases.caching.reads import CachedReads
from fitness.domain.use_cases.local_limits import LocalLimits
from fitness.domain.use_cases.requesters import Requester, subject
from fitness.domain.use_cases.seen import ReadAsked, Seen
from fitness.ports.cache import CacheKey, Peeked
from fitness.ports.clock import ClockPort
from fitness.ports.outages import CacheUnavailable, LimiterUnavailable
from fitness.ports.rate_limits import RateLimiterPort
from fitness.ports.standings import StandingPort

MOST_REMEMBERED = 10_000


class Admitted(NamedTuple):
    """A read that was charged, and what the cache has for it."""

    decision: Decision | None
    """None where limits are switched off."""
    found: Peeked


class LimitService:
    """`limiter` is shared by all processes; `scale` multiplies every limit, and 0 switches limits off."""

    def __init__(
        self,
        limiter: RateLimiterPort,
        local: LocalLimits,
        standings: StandingPort,
        clock: ClockPort,
        cached: CachedReads,
        scale: float,
    ) -> None:
        self._limiter = limiter
        self._local = local
        self._standings = standings
        self._clock = clock
        self._cached = cached
        self._scale = scale
        self._seen: OrderedDict[int, Seen] = OrderedDict()
        self._applying = {
            (action, tier): [
                (policy, limit.scaled(scale))
                for policy in POLICIES
                if policy.action is action and (limit := policy.limit(tier)) is not None
            ]
            for action in (None, *Action)
            for tier in (None, *Tier)
        }

    async def admit(self, action: Action, who: Requester) -> Decision | Unjudged | None:
        """Charge a request. None where limits are switched off.

        Raises RateLimited, LimiterUnavailable if the limiter does not answer and the action needs it, NotAuthenticated
        if the caller's session has been ended or the account is gone, and DatabaseUnavailable if neither the cache nor
        the database can tell.
        """
        if not self._scale:
            await self._tier(who)
            return None
        try:
            if WHEN_UNAVAILABLE.get(action) is WhenUnavailable.JUDGE_LOCALLY:
                decision = await self._local.acquire_from_both(self._charges(action, who, await self._tier(who)))
            else:
                decision = await self._acquire(action, who)
        except LimiterUnavailable:
            return await self.admit_without_limiter(action, who)
        if not decision.allowed:
            raise RateLimited(decision)
        return decision

    async def admit_rest(
        self, action: Action, who: Requester, admitted: Decision | Unjudged | None, *, cost: int
    ) -> Decision | Unjudged | None:
        """Charge the rest of a request's `cost`, beyond the 1 it was `admitted` for, to the action's own policies.

        A cost larger than a full bucket counts as a full bucket. Returns the decision on the whole request. Raises
        RateLimited, and then nothing more is charged.
        """
        if not isinstance(admitted, Decision):
            return admitted
        charges = self._charges_for(action, who, await self._tier(who))
        rest = min(cost, *(charge.limit.requests for charge in charges)) - 1
        if rest < 1:
            return admitted
        try:
            decision = await self._limiter.acquire(charges, cost=rest)
        except LimiterUnavailable:
            return await self.admit_without_limiter(action, who)
        if not decision.allowed:
            raise RateLimited(admitted.followed_by(decision.for_all_of_it()))
        return admitted.followed_by(decision)

    def ask_read(self, action: Action, caller: Caller, key: CacheKey[Any]) -> ReadAsked | None:
        """Ask for limits, standing and the cached copy at once. None if that takes more than a question each."""
        seen = self._seen.get(caller.id)
        if seen is None or not self._scale or seen.standing.refuses(caller):
            return None
        peeked = self._cached.peek_soon(seen.key, key)
        if peeked is None:
            return None
        decided = self._limiter.acquire_soon(seen.charges(action))
        if decided is None:
            peeked.abandon()
            return None
        return ReadAsked(seen, decided, peeked)

    def admitted_hit(self, asked: ReadAsked) -> Admitted | None:
        """The result of what was `asked`, once it has replied, if it is an admitted hit; else call `admit_asked`."""
        if asked.decided.failed or asked.peeked.failed:
            return None
        try:
            standing, found = asked.peeked.value
        except CacheUnavailable:
            return None
        decision = asked.decided.value
        if standing != asked.seen.text or not isinstance(found, bytes) or not decision.allowed:
            return None
        self._cached.count_hit(asked.seen.key)
        return Admitted(decision, found)

    async def admit_asked(
        self, asked: ReadAsked, action: Action, caller: Caller, key: CacheKey[Any]
    ) -> Admitted | None:
        """The result of what was `asked`, whatever it is. Returns and raises as `admit_read`."""
        if asked.decided.failed:
            return await self.admit_read(action, caller, key)
        standing, found = None, None
        if not asked.peeked.failed:
            with suppress(CacheUnavailable):
                standing, found = asked.peeked.value
        return await self._admitted(asked.seen, asked.decided.value, standing, found, action, caller)

    async def admit_read(self, action: Action, caller: Caller, key: CacheKey[Any]) -> Admitted | None:
        """Charge a read of `key`; limits, tier and the cached copy are asked for in one round trip.

        None, and nothing is charged, for a caller whose standing this process has not seen yet, or saw to refuse it.
        Raises as `admit`.
        """
        seen = self._seen.get(caller.id)
        if seen is None or seen.standing.refuses(caller):
            return None
        if not self._scale:
            standing, found = await self._cached.peek(seen.key, key)
            return Admitted(None, found) if standing == seen.text else None
        with Begun(self._cached.peek(seen.key, key)) as asked:
            decision = await self._limiter.acquire(seen.charges(action))
            standing, found = await asked
        return await self._admitted(seen, decision, standing, found, action, caller)

    async def _admitted(
        self, seen: Seen, decision: Decision, standing: Peeked, found: Peeked, action: Action, caller: Caller
    ) -> Admitted:
        if standing == seen.text:
            self._cached.count_hit(seen.key)
        else:
            who = Requester("", caller)
            decision = await self._under(await self._tier(who), decision, seen, action, who)
        if not decision.allowed:
            raise RateLimited(decision)
        return Admitted(decision, found)

    async def _acquire(self, action: Action, who: Requester) -> Decision:
        """Judge the request under the tier that this process saw last, while the present tier is read: one round trip.

        Only if the tier has changed is the request judged again, under the present tier.
        """
        seen = self._seen.get(who.caller.id) if who.caller is not None else None
        if who.caller is None or seen is None or seen.standing.refuses(who.caller):
            return await self._limiter.acquire(self._charges(action, who, await self._tier(who)))
        with Begun(self._tier(who)) as asked:
            decision = await self._limiter.acquire(seen.charges(action))
            tier = await asked
        return await self._under(tier, decision, seen, action, who)

    async def _under(
        self, tier: Tier | None, decision: Decision, seen: Seen, action: Action, who: Requester
    ) -> Decision:
        """The decision under the present tier. A request that was admitted under another one is not charged again."""
        if tier is seen.tier:
            return decision
        return await self._limiter.acquire(self._charges(action, who, tier), cost=0 if decision.allowed else 1)

    async def before_another(self, action: Action, who: Requester) -> Decision | None:
        """The decision on one more such request, free of charge."""
        if not self._scale:
            return None
        return await self._local.before_another(self._charges(action, who, await self._tier(who)))

    async def standing(self, who: Requester) -> tuple[Tier | None, Decision | None]:
        """The caller's balance under every policy that can apply, free of charge; None where limits are switched off.

        Raises LimiterUnavailable, NotAuthenticated.
        """
        tier = await self._tier(who)
        if not self._scale:
            return tier, None
        charges = [charge for action in (None, *Action) for charge in self._charges_for(action, who, tier)]
        return tier, await self._limiter.acquire(charges, cost=0)

    async def admit_without_limiter(self, action: Action, who: Requester) -> Decision | Unjudged:
        """Admit a request while the shared limiter does not answer. Raises as `admit`."""
        tier = await self._tier(who)  # a session that was ended stays ended, whatever else is down
        outcome = WHEN_UNAVAILABLE.get(action, WhenUnavailable.ADMIT)
        if outcome is WhenUnavailable.REFUSE:
            raise LimiterUnavailable("this needs the rate limiter, which is not available; try again")
        if outcome is WhenUnavailable.ADMIT:
            return Unjudged(self._charges(action, who, tier))
        decision = await self._local.acquire_alone(self._charges(action, who, tier))
        if not decision.allowed:
            raise RateLimited(decision)
        return decision

    async def _tier(self, who: Requester) -> Tier | None:
        """None for somebody who is not logged in. Raises NotAuthenticated, DatabaseUnavailable."""
        if who.caller is None:
            return None
        user_id = who.caller.id
        copy = await self._cached.read_through(standing_key(user_id), lambda: self._load_standing(user_id))
        standing = copy.value
        tier = standing.tier
        if tier is None:
            self._seen.pop(user_id, None)
            raise NotAuthenticated("the account of this token no longer exists")
        if user_id not in self._seen or self._seen[user_id].standing != standing:
            self._seen[user_id] = Seen(user_id, standing, tier, lambda action: self._charges(action, who, tier))
            if len(self._seen) > MOST_REMEMBERED:
                self._seen.popitem(last=False)
        if standing.refuses(who.caller):
            raise NotAuthenticated("this session has ended; log in again")
        return tier

    async def _load_standing(self, user_id: int) -> Standing:
        return await self._standings.of(user_id, at=self._clock.now())

    def _charges(self, action: Action, who: Requester, tier: Tier | None) -> tuple[Charge, ...]:
        every_request = () if action is Action.GUESS else self._charges_for(None, who, tier)  # LOGIN was charged these
        return (*every_request, *self._charges_for(action, who, tier))

    def _charges_for(self, action: Action | None, who: Requester, tier: Tier | None) -> list[Charge]:
        return [
            Charge(policy.name, counted, limit)
            for policy, limit in self._applying[action, tier]
            if (counted := subject(policy, who)) is not None
        ]
