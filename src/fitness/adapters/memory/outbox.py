"""The outbox in a dictionary."""

from collections.abc import Collection, Iterable, Sequence

from fitness.adapters.memory.store import InMemoryStore
from fitness.ports.cache import Era
from fitness.ports.outbox import MOST_AT_ONCE, Backlog, PendingInvalidation


class InMemoryOutbox:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def pending(self, *, older_than_s: float = 0.0, but: Collection[int] = ()) -> Sequence[PendingInvalidation]:
        latest_s = self._store.monotonic_s() - older_than_s
        due = [e for e in self._store.outbox.values() if e.since_s <= latest_s and e.pending.id not in but]
        return [entry.pending for entry in sorted(due, key=lambda entry: entry.since_s)[:MOST_AT_ONCE]]

    async def backlog(self) -> Backlog:
        entries, now_s = self._store.outbox.values(), self._store.monotonic_s()
        return Backlog(len(entries), now_s - min((entry.since_s for entry in entries), default=now_s))

    async def acknowledge(self, ids: Iterable[int], *, era: Era) -> None:
        if self._store.cache_state.era == era:
            for entry_id in ids:
                self._store.outbox.pop(entry_id, None)
