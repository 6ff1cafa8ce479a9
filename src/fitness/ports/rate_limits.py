"""Whether a request is within its limits."""

from collections.abc import Sequence
from typing import Protocol

from fitness.domain.model.rate_limits import Charge, Decision
from fitness.ports.reply import Reply


class RateLimiterPort(Protocol):
    """Counts requests by policy and subject, for all who use the same store, on one clock."""

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        """Admit a request under every policy and charge it to each, or refuse it and charge it to none.

        All of that in one step, however many ask at once. A `dry_run` judges the same and charges nothing. With a
        `cost` of 0 the decision shows where the subjects stand. A refusal may leave out the policies that do not
        refuse. Raises LimiterUnavailable.
        """

    def acquire_soon(self, charges: Sequence[Charge]) -> Reply[Decision] | None:
        """As `acquire`, asked at once. None where that takes more than one question to the store, or it is down.

        A reply that has failed has charged nothing, as far as anybody knows.
        """


class DecisionCountsPort(Protocol):
    def count(self, decision: Decision) -> None:
        """Count a decision on one request that the shared limiter did not make."""
