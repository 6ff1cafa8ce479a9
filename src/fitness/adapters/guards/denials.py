"""A rate limiter that remembers refusals until they end: a flood is answered without asking the store."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from fitness.domain.model.rate_limits import SECOND_US, Balance, Charge, Decision
from fitness.ports.rate_limits import RateLimiterPort
from fitness.ports.reply import Reply

MOST_REMEMBERED = 10_000


class DenialMemory:
    """A refusal stays valid until its `retry_us` has passed, so it can be repeated from memory until then.

    That holds for requests of the same cost. Only refusals of cost 1, as nearly all are, are remembered and repeated.
    """

    def __init__(
        self,
        limiter: RateLimiterPort,
        monotonic_s: Callable[[], float] = time.monotonic,
        *,
        most_remembered: int = MOST_REMEMBERED,
    ) -> None:
        self._limiter = limiter
        self._most_remembered = most_remembered
        self._monotonic_s = monotonic_s
        self._denied: OrderedDict[Charge, tuple[int, Balance]] = OrderedDict()

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        asked_us = round(self._monotonic_s() * SECOND_US)
        if cost == 1 and self._denied and (known := tuple(self._known(charges, asked_us))):
            return Decision(known)
        decision = await self._limiter.acquire(charges, cost=cost, dry_run=dry_run)
        if cost == 1 and not decision.allowed:
            self._remember(charges, decision, asked_us)
        return decision

    def acquire_soon(self, charges: Sequence[Charge]) -> Reply[Decision] | None:
        asked_s = self._monotonic_s()
        if self._denied and any(charge in self._denied for charge in charges):
            return None
        reply = self._limiter.acquire_soon(charges)
        return None if reply is None else reply.then(partial(self._remembered, charges, asked_s))

    def _remembered(self, charges: Sequence[Charge], asked_s: float, decision: Decision) -> Decision:
        if not decision.allowed:
            self._remember(charges, decision, round(asked_s * SECOND_US))
        return decision

    def _known(self, charges: Sequence[Charge], now_us: int) -> Iterator[Balance]:
        for charge in charges:
            if charge in self._denied:
                asked_us, balance = self._denied[charge]
                past_us = now_us - asked_us
                if 0 <= past_us < balance.retry_us:
                    yield Balance(
                        balance.policy,
                        balance.limit,
                        balance.remaining,
                        balance.reset_us - past_us,
                        balance.retry_us - past_us,
                    )
                else:
                    del self._denied[charge]

    def _remember(self, charges: Sequence[Charge], decision: Decision, asked_us: int) -> None:
        refused = {balance.policy: balance for balance in decision.balances if balance.retry_us}
        for charge in charges:
            if charge.policy in refused:
                self._denied[charge] = asked_us, refused[charge.policy]
                self._denied.move_to_end(charge)
        while len(self._denied) > self._most_remembered:
            self._denied.popitem(last=False)
