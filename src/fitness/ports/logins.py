"""The history of logins: from which networks logins to an account have succeeded or failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

FORGOTTEN_AFTER = timedelta(days=1)
"""How long failures count, from the last of them on."""

KNOWN_FOR = timedelta(days=90)
"""How long a network is known, from the last login on."""


@dataclass(frozen=True, slots=True)
class LoginsFrom:
    """What is known of one network's logins to one account."""

    failures: int = 0
    """Failures in a row, since the last login from the network."""
    failed_at: datetime | None = None
    """The time of the last failure."""
    known: bool = False
    """Whether somebody logged in from the network in the last KNOWN_FOR."""


class LoginHistoryPort(Protocol):
    """The history is kept under the names of account and network, whether or not the account exists.

    Every method raises DatabaseUnavailable.
    """

    async def of(self, account: str, networks: Sequence[str], *, at: datetime) -> list[LoginsFrom]:
        """What counts at that time for each of the networks, in their order."""

    async def add_failure(self, account: str, networks: Sequence[str], *, at: datetime) -> None:
        """Count one more failure from each of the networks. The count begins anew after FORGOTTEN_AFTER without any."""

    async def forget(self, account: str) -> None:
        """Delete everything about the account."""

    async def forget_expired(self, *, at: datetime) -> int:
        """Delete some of the entries that no longer count at that time. Returns how many."""

    async def add_success(self, account: str, network: str, *, within: Sequence[str] = (), at: datetime) -> None:
        """Make the network known. Failures from it, and from the networks that it is `within`, no longer count."""
