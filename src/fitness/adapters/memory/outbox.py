"""The outbox in a dictionary."""

from collections.abc import Callable, Iterable, Sequence

from fitness.adapters.memory.store import InMemoryStore, OutboxEntry
from fitness.ports.cache import Era, Scope
from fitness.ports.outbox import MOST_AT_ONCE, Backlog, PendingInvalidation


class InMemoryOutbox:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def pending(self, *, older_than_s: float = 0.0) -> Sequence[PendingInvalidation]:
        latest_s = self._store.monotonic_s() - older_than_s
        return self._oldest(lambda entry: entry.since_s <= latest_s)

    async def pending_of(self, scope: Scope) -> Sequence[PendingInvalidation]:
        return self._oldest(lambda entry: scope in entry.pending.scopes)

    def _oldest(self, wanted: Callable[[OutboxEntry], bool]) -> Sequence[PendingInvalidation]:
        found = sorted(filter(wanted, self._store.outbox.values()), key=lambda entry: entry.since_s)
        return [entry.pending for entry in found[:MOST_AT_ONCE]]

    async def backlog(self) -> Backlog:
        entries, now_s = self._store.outbox.values(), self._store.monotonic_s()
        return Backlog(len(entries), max(0.0, now_s - min((entry.since_s for entry in entries), default=now_s)))

    async def acknowledge(self, ids: Iterable[int], *, era: Era) -> None:
        if self._store.cache_state.era == era:
            for entry_id in ids:
                self._store.outbox.pop(entry_id, None)
