"""What the cache is owed, as the database remembers it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fitness.ports.cache import Owed

MOST_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Backlog:
    debts: int
    oldest_s: float
    """How long ago the oldest was made; 0 where there is none."""


class OutboxPort(Protocol):
    """Debts that changes wrote in their own transactions. Every method raises DatabaseUnavailable."""

    async def unsettled(self, *, older_than_s: float = 0.0) -> Sequence[Owed]:
        """Debts that were made that long ago, oldest first; at most MOST_AT_ONCE."""

    async def backlog(self) -> Backlog:
        """How much is owed."""

    async def settle(self, ids: Iterable[int]) -> None:
        """Strike these debts out; those that are gone already do not matter."""
