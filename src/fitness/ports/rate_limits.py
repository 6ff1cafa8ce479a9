"""Who judges whether a request is one too many."""

from collections.abc import Sequence
from typing import Protocol

from fitness.domain.model.rate_limits import Charge, Decision


class RateLimiterPort(Protocol):
    """Accounts of requests, shared by all who use the same store, on one clock."""

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1) -> Decision:
        """Admit a request under every policy and charge it to each, or refuse it and charge it to none.

        All of that in one step, however many ask at once. With a `cost` of 0 it says where the subjects stand, and
        charges nothing. A refusal may leave out the policies that do not refuse. Raises LimiterUnavailable.
        """
