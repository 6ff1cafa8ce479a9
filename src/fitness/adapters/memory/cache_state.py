"""The cache's state in a dataclass."""

import secrets
from collections.abc import Callable
from dataclasses import replace

from fitness.adapters.memory.store import InMemoryStore, OutboxEntry
from fitness.ports.cache import Era
from fitness.ports.cache_state import CacheState, Transition
from fitness.ports.outbox import PendingInvalidation

SWITCH_S = 5.0


class InMemoryCacheState:
    def __init__(
        self,
        store: InMemoryStore,
        *,
        switch_s: float = SWITCH_S,
        new_name: Callable[[], str] = lambda: secrets.token_hex(6),
    ) -> None:
        self._store = store
        self._switch_s = switch_s
        self._new_name = new_name
        self._switched_s = float("-inf")

    async def read(self) -> CacheState:
        return self._store.cache_state

    async def close(self, unconfirmed: PendingInvalidation) -> Transition:
        entry = self._store.outbox.get(unconfirmed.id) or OutboxEntry(unconfirmed, self._store.monotonic_s())
        self._store.outbox[unconfirmed.id] = replace(entry, unconfirmed=True)
        state = self._store.cache_state
        if state.closed:
            return Transition(state, changed=False)
        return self._changed(closed=True)

    async def open(self, *, epoch: int) -> Transition:
        state = self._store.cache_state
        waiting = any(entry.unconfirmed for entry in self._store.outbox.values()) and not state.unread
        if state.epoch != epoch or not state.closed or state.era is None or waiting:
            return Transition(state, changed=False)
        return self._changed(closed=False, unread=False)

    async def name_server(self, run_id: str, *, epoch: int) -> Transition:
        state, now_s = self._store.cache_state, self._store.monotonic_s()
        known = state.era is not None
        if (
            state.epoch != epoch
            or (state.era is not None and state.era.run_id == run_id)
            or (known and now_s < self._switched_s + self._switch_s)
        ):
            return Transition(state, changed=False)
        if known:
            self._switched_s = now_s
        return self._changed(era=Era(run_id, self._new_name()), closed=known, unread=known)

    def _changed(self, **changes: object) -> Transition:
        state = self._store.cache_state
        self._store.cache_state = replace(state, epoch=state.epoch + 1, **changes)  # type: ignore[arg-type]
        return Transition(self._store.cache_state, changed=True)
