"""A circuit breaker: when to stop asking a limiter that does not answer, and when to ask again."""

import random
import time
from collections.abc import Callable, Sequence

from fitness.domain.model.rate_limits import Charge, Decision
from fitness.ports.outages import LimiterUnavailable
from fitness.ports.rate_limits import RateLimiterPort

FAILURES_TO_OPEN = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 10.0
PROBE_S = 1.0
"""How long the one request that is let through may take before another one is."""


class Breaker:
    """Opens after FAILURES_TO_OPEN failures in a row. From then on one request is let through after each pause.

    The pause doubles with every failure, up to LONGEST_PAUSE_S. A success closes the breaker.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until_s = 0.0

    def lets_ask(self) -> bool:
        if self._failures < FAILURES_TO_OPEN:
            return True
        now_s = self._monotonic_s()
        if now_s < self._open_until_s:
            return False
        self._open_until_s = now_s + PROBE_S
        return True

    def succeeded(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            pause_s = self._pause_s * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
            self._open_until_s = self._monotonic_s() + pause_s
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)


class GuardedRateLimiter:
    """Raises LimiterUnavailable at once while the breaker is open."""

    def __init__(self, limiter: RateLimiterPort, breaker: Breaker) -> None:
        self._limiter = limiter
        self._breaker = breaker

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        if not self._breaker.lets_ask():
            raise LimiterUnavailable("Redis did not answer lately")
        try:
            decision = await self._limiter.acquire(charges, cost=cost, dry_run=dry_run)
        except LimiterUnavailable:
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        return decision
