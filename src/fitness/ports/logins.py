"""From where somebody got into an account, and from where somebody failed to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

FORGOTTEN_AFTER = timedelta(days=1)
"""Failures, since the last of them."""

KNOWN_FOR = timedelta(days=90)
"""A network, since the last login from it."""


@dataclass(frozen=True, slots=True)
class LoginsFrom:
    """What is known of one network's logins to one account."""

    failures: int = 0
    """In a row, since the last login from there."""
    failed_at: datetime | None = None
    """The last of them."""
    known: bool = False
    """Somebody logged in from there in the last KNOWN_FOR."""


class LoginHistoryPort(Protocol):
    """Keeps it under the names of account and network, whether or not there is such an account.

    Every method raises DatabaseUnavailable.
    """

    async def of(self, account: str, networks: Sequence[str], *, at: datetime) -> list[LoginsFrom]:
        """For each of the networks, in their order, what counts at that time."""

    async def add_failure(self, account: str, networks: Sequence[str], *, at: datetime) -> None:
        """One more from each of the networks; those before FORGOTTEN_AFTER without any no longer count."""

    async def forget(self, account: str) -> None:
        """Everything about the account."""

    async def forget_expired(self, *, at: datetime) -> int:
        """Delete some of what no longer counts at that time; how much."""

    async def add_success(self, account: str, network: str, *, within: Sequence[str] = (), at: datetime) -> None:
        """The network is known from now on; failures from it, and from those that it is `within`, no longer count."""
