"""What both forms of the live feed share, WebSocket and server-sent events."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from fitness.domain.model.changes import Change
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.live import Follower, LiveFeed
from fitness.ports.clock import ClockPort


class FeedCounts(Protocol):
    def connected(self, via: str, more: int) -> None:
        """Add `more` to the connections, or subtract if it is negative; `via` is `websocket` or `events`."""

    def told(self, late_s: float) -> None:
        """A change was given to its follower `late_s` seconds after it was made."""


@dataclass(frozen=True, slots=True)
class Feed:
    live: LiveFeed
    counts: FeedCounts
    clock: ClockPort

    async def admit(self, caller: Caller, after: int | None) -> int:
        """As LiveFeed.admit. Raises NotAuthenticated, ChangesNotKept, InvalidFields."""
        return await self.live.admit(caller, after)

    @contextmanager
    def connected(self, via: str) -> Iterator[None]:
        self.counts.connected(via, 1)
        try:
            yield
        finally:
            self.counts.connected(via, -1)

    def told(self, follower: Follower, changes: Sequence[Change]) -> None:
        """Count how late each change is, once the follower has caught up: before that, it asked for old changes."""
        now = self.clock.now()
        for change in changes if follower.caught_up else ():
            self.counts.told(max(0.0, (now - change.at).total_seconds()))
