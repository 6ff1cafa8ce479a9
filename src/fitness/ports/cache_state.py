"""The one row in the database that says whether the cache may be read, and which server's copies count."""

from dataclasses import dataclass
from typing import Protocol

from fitness.ports.cache import Era
from fitness.ports.outbox import PendingInvalidation


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    era: Era | None
    """None until the first server is named."""
    closed: bool
    """No process may read from the cache."""
    unread: bool
    """The era was never open: nobody has read or stored anything in it yet."""
    epoch: int
    """Rises by one with each change of the row."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What the row is after a change was tried, and whether it changed."""

    state: CacheState
    changed: bool


class CacheStatePort(Protocol):
    """Shared by all processes. Every method raises DatabaseUnavailable."""

    async def read(self) -> CacheState: ...

    async def close(self, unconfirmed: PendingInvalidation) -> Transition:
        """Close the cache if it is open, and in the same step mark the outbox entry as unconfirmed.

        Its writer answers because the cache is closed, not because the cache was invalidated: the cache is not opened
        until the entry is carried out. An entry that is gone already is written again.
        """

    async def open(self, *, epoch: int) -> Transition:
        """Open the cache, if the row is still as it was at `epoch` and no entry is unconfirmed.

        Unconfirmed entries do not matter in an era that was never open.
        """

    async def name_server(self, run_id: str, *, epoch: int) -> Transition:
        """Begin a new era with another server, closed; if the row is still as it was at `epoch`.

        At most one such change in 5 s: two primaries that fight keep the cache closed, not wrong. The era of the very
        first server is open at once, since nobody can hold an older lease.
        """
