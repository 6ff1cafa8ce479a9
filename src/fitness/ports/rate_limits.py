"""Whether a request is within its limits."""

from collections.abc import Sequence
from typing import Protocol

from fitness.domain.model.rate_limits import Charge, Decision
from fitness.ports.reply import Reply


class RateLimiterPort(Protocol):
    """Counts requests by policy and subject, on one clock, for all processes that use the same store."""

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        """Admit a request under every policy and charge it to each, or refuse it and charge it to none.

        All of that is one atomic step, however many requests come at once. A `dry_run` judges in the same way and
        charges nothing. With a `cost` of 0 the decision shows the present balances of the subjects. A refusal may leave
        out the policies that do not refuse. Raises LimiterUnavailable.
        """

    def acquire_soon(self, charges: Sequence[Charge]) -> Reply[Decision] | None:
        """As `acquire`, but sent at once. None if the store is down, or if this takes more than one question to it.

        A reply that has failed has charged nothing, as far as is known.
        """


class DecisionCountsPort(Protocol):
    def count(self, decision: Decision) -> None:
        """Count a decision on one request that the shared limiter did not make."""
