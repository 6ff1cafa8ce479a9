"""How often somebody failed to get into an account."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FailedLogins:
    """`count` in a row, the last of them at `last_at`."""

    count: int
    last_at: datetime


class FailedLoginsPort(Protocol):
    """Counts failures under an account's name, whether or not there is such an account. Raises DatabaseUnavailable."""

    async def of(self, account: str) -> FailedLogins | None:
        """Those since the last success."""

    async def add(self, account: str, *, at: datetime) -> None:
        """One more; those before FORGOTTEN_AFTER without any no longer count."""

    async def clear(self, account: str) -> None:
        """A success: they no longer count."""
