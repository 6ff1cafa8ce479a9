"""The one row in the database that says whether the cache may be read, and which server's copies count."""

from dataclasses import dataclass
from typing import Protocol

from fitness.ports.cache import Era
from fitness.ports.outbox import PendingInvalidation


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    era: Era | None
    """The present era; None until the first server is named."""
    closed: bool
    """Whether the cache is closed: no process may read from it."""
    unread: bool
    """Whether the era was never open: no process has read or stored anything in it yet."""
    epoch: int
    """A number that rises by one with each change of the row."""


@dataclass(frozen=True, slots=True)
class Transition:
    """The row after an attempt to change it, and whether the attempt changed it."""

    state: CacheState
    changed: bool


class CacheStatePort(Protocol):
    """The row, which all processes share. Every method raises DatabaseUnavailable."""

    async def read(self) -> CacheState: ...

    async def close(self, unconfirmed: PendingInvalidation) -> Transition:
        """Close the cache if it is open, and in the same step mark the outbox entry as unconfirmed.

        The writer of the entry answers because the cache is closed, not because the entry was carried out. So the cache
        is not opened until the entry has been carried out. An entry that was deleted already is written again.
        """

    async def open(self, *, epoch: int) -> Transition:
        """Open the cache, if the row is still as it was at `epoch` and no entry is unconfirmed.

        Unconfirmed entries do not matter in an era that was never open.
        """

    async def name_server(self, run_id: str, *, epoch: int) -> Transition:
        """Begin a new era with another server, and with the cache closed, if the row is still as it was at `epoch`.

        At most one such change in 5 s: two primaries that compete keep the cache closed, but never wrong. The era of
        the very first server is open at once, since no process can hold an older lease.
        """
