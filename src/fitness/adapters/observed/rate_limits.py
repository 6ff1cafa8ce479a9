"""A rate limiter whose decisions are counted."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from fitness.domain.model.rate_limits import Charge, Decision
from fitness.ports.outages import LimiterUnavailable
from fitness.ports.rate_limits import RateLimiterPort
from fitness.ports.reply import Reply


class ObservedRateLimiter:
    """`decisions` by policy and outcome: `allowed`, `denied`, or `unavailable` where the limiter did not answer."""

    def __init__(
        self, limiter: RateLimiterPort, span: Callable[[str], AbstractContextManager[object]] = nullcontext
    ) -> None:
        self._limiter = limiter
        self._span = span
        self.decisions: Counter[tuple[str, ...]] = Counter()

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        judges = cost > 0 and not dry_run
        try:
            with self._span("rate_limiter.acquire"):
                decision = await self._limiter.acquire(charges, cost=cost, dry_run=dry_run)
        except LimiterUnavailable:
            if judges:
                self.decisions.update((charge.policy, "unavailable") for charge in charges)
            raise
        if judges:
            self.count(decision)
        return decision

    def acquire_soon(self, charges: Sequence[Charge]) -> Reply[Decision] | None:
        """Failures of the reply are not counted: the caller then asks again by `acquire`, which counts."""
        reply = self._limiter.acquire_soon(charges)
        return None if reply is None else reply.then(self._counted)

    def count(self, decision: Decision) -> None:
        """Also for decisions that were made without this limiter."""
        for balance in decision.balances:
            if balance.retry_us:
                self.decisions[balance.policy, "denied"] += 1
            elif decision.allowed:
                self.decisions[balance.policy, "allowed"] += 1

    def _counted(self, decision: Decision) -> Decision:
        self.count(decision)
        return decision
