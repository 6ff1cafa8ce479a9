"""Limits that hold even while the shared limiter does not answer: this process judges such requests as well."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from fitness.domain.model.rate_limits import Charge, Decision, stricter
from fitness.ports.outages import LimiterUnavailable
from fitness.ports.rate_limits import DecisionCountsPort, RateLimiterPort


class LocalLimits:
    """`local` is this process's own limiter; it counts what either limiter admitted here.

    `counts` is told of each decision that the shared `limiter` did not make. While that does not answer, each of
    `processes` admits its part of a limit.
    """

    def __init__(
        self, limiter: RateLimiterPort, local: RateLimiterPort, counts: DecisionCountsPort, processes: int
    ) -> None:
        self._limiter = limiter
        self._local = local
        self._counts = counts
        self._processes = processes
        self._one_at_a_time = asyncio.Lock()

    async def acquire_from_both(self, charges: Sequence[Charge]) -> Decision:
        """The shared limiter's decision, unless the local one refuses: it knows what was admitted during an outage.

        Both are asked before either is charged, so that a refusal charges neither, and its Retry-After is the longer of
        both. One request at a time: otherwise two requests could both be judged before the first one is charged.
        Raises LimiterUnavailable.
        """
        async with self._one_at_a_time:
            local = await self._local.acquire(charges, dry_run=True)
            if not local.allowed:
                decision = stricter(local, await self._limiter.acquire(charges, dry_run=True))
                self._counts.count(decision)
                return decision
            decision = await self._limiter.acquire(charges)
            if decision.allowed:  # charged here too, so that an outage begins with what was admitted before it
                await self._local.acquire(charges)
            return decision

    async def acquire_alone(self, charges: Sequence[Charge]) -> Decision:
        """The decision by this process's part of each limit."""
        decision = await self._local.acquire(
            [charge._replace(limit=charge.limit.shared_by(self._processes)) for charge in charges]
        )
        self._counts.count(decision)
        return decision

    async def before_another(self, charges: Sequence[Charge]) -> Decision:
        """What one more such request would be told. Nothing is charged or counted."""
        local = await self._local.acquire(charges, dry_run=True)
        with suppress(LimiterUnavailable):
            return stricter(local, await self._limiter.acquire(charges, dry_run=True))
        return local
