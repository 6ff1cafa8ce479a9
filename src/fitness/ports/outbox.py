"""The transactional outbox: invalidations of the cache that a committed change still needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fitness.ports.cache import Era, Scope

MOST_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class PendingInvalidation:
    """An outbox entry: scopes that need a new generation because of the change that wrote the entry."""

    id: int
    scopes: tuple[Scope, ...]


@dataclass(frozen=True, slots=True)
class Backlog:
    pending: int
    oldest_s: float
    """Age of the oldest entry in seconds; 0 where there is none."""


class OutboxPort(Protocol):
    """Entries are written by changes, in their own transactions. Every method raises DatabaseUnavailable."""

    async def pending(self, *, older_than_s: float = 0.0) -> Sequence[PendingInvalidation]:
        """Entries of at least that age, oldest first, without held ones; at most MOST_AT_ONCE."""

    async def pending_of(self, scope: Scope) -> Sequence[PendingInvalidation]:
        """Entries that name this scope, held ones too, oldest first; at most MOST_AT_ONCE."""

    async def backlog(self) -> Backlog:
        """How many entries are pending, and since when."""

    async def acknowledge(self, ids: Iterable[int], *, era: Era) -> None:
        """Delete entries that were carried out in `era`, if that is the present era. Unknown ids are ignored.

        Entries carried out in an earlier era stay: their process did not know of the present era yet, and invalidated
        names that nobody reads any more.
        """
