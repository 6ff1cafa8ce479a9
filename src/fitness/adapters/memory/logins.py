"""Failed logins in a dictionary."""

from datetime import datetime

from fitness.ports.logins import FORGOTTEN_AFTER, FailedLogins


class InMemoryFailedLogins:
    def __init__(self) -> None:
        self._failed: dict[str, FailedLogins] = {}

    async def of(self, account: str) -> FailedLogins | None:
        return self._failed.get(account)

    async def add(self, account: str, *, at: datetime) -> None:
        before = self._failed.get(account)
        counts = before is not None and at < before.last_at + FORGOTTEN_AFTER
        self._failed[account] = FailedLogins(before.count + 1 if before is not None and counts else 1, at)

    async def clear(self, account: str) -> None:
        self._failed.pop(account, None)
