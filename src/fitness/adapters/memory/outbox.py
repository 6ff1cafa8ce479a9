"""What the cache is owed, in a dictionary."""

from collections.abc import Iterable, Sequence

from fitness.adapters.memory.store import InMemoryStore
from fitness.ports.cache import Owed
from fitness.ports.outbox import MOST_AT_ONCE, Backlog


class InMemoryOutbox:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def unsettled(self, *, older_than_s: float = 0.0) -> Sequence[Owed]:
        latest_s = self._store.monotonic_s() - older_than_s
        due = [debt for debt in self._store.debts.values() if debt.since_s <= latest_s]
        return [debt.owed for debt in sorted(due, key=lambda debt: debt.since_s)[:MOST_AT_ONCE]]

    async def backlog(self) -> Backlog:
        debts = self._store.debts.values()
        oldest_s = min((debt.since_s for debt in debts), default=self._store.monotonic_s())
        return Backlog(len(debts), self._store.monotonic_s() - oldest_s)

    async def settle(self, ids: Iterable[int]) -> None:
        for debt_id in ids:
            self._store.debts.pop(debt_id, None)
