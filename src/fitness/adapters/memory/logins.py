"""Logins and failures by network, in a dictionary."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fitness.ports.logins import FORGOTTEN_AFTER, KNOWN_FOR, LoginsFrom


@dataclass(slots=True)
class _Kept:
    failures: int = 0
    failed_at: datetime | None = None
    logged_in_at: datetime | None = None

    def counting(self, at: datetime) -> LoginsFrom:
        known = self.logged_in_at is not None and at < self.logged_in_at + KNOWN_FOR
        if self.failed_at is None or at >= self.failed_at + FORGOTTEN_AFTER:
            return LoginsFrom(known=known)
        return LoginsFrom(self.failures, self.failed_at, known)


class InMemoryLoginHistory:
    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._forget_at: datetime | None = None

    async def of(self, account: str, networks: Sequence[str], *, at: datetime) -> list[LoginsFrom]:
        return [self._kept.get((account, network), _Kept()).counting(at) for network in networks]

    async def add_failure(self, account: str, networks: Sequence[str], *, at: datetime) -> None:
        self._forget(at)
        for network in networks:
            kept = self._kept.setdefault((account, network), _Kept())
            kept.failures, kept.failed_at = kept.counting(at).failures + 1, at

    async def forget(self, account: str) -> None:
        self._kept = {name: kept for name, kept in self._kept.items() if name[0] != account}

    async def forget_expired(self, *, at: datetime) -> int:
        before = len(self._kept)
        self._kept = {name: kept for name, kept in self._kept.items() if kept.counting(at) != LoginsFrom()}
        return before - len(self._kept)

    async def add_success(self, account: str, network: str, *, within: Sequence[str] = (), at: datetime) -> None:
        for one in (network, *within):
            if kept := self._kept.get((account, one)):
                kept.failures, kept.failed_at = 0, None
        self._kept.setdefault((account, network), _Kept()).logged_in_at = at

    def _forget(self, at: datetime) -> None:
        """Delete what no longer counts, at most once in FORGOTTEN_AFTER, since this looks at every entry."""
        if self._forget_at is None or at >= self._forget_at:
            self._forget_at = at + FORGOTTEN_AFTER
            self._kept = {name: kept for name, kept in self._kept.items() if kept.counting(at) != LoginsFrom()}
