"""The change log in lists."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import islice

from fitness.adapters.memory.store import ChangesOfOne, InMemoryStore
from fitness.domain.model.activities import Activity
from fitness.domain.model.changes import Change, ChangePage


class InMemoryChangeLog:
    """Entries are written by the other repositories, with `InMemoryStore.log_change`."""

    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def after(self, owner: int, seq: int, *, most: int) -> ChangePage:
        found = self._store.changes.get(owner, ChangesOfOne())
        later = islice((one for one in found.kept if one.seq > seq), most)
        shown = tuple(replace(one, activity=self._live(one.activity_id)) for one in later)
        return ChangePage(shown, found.last_seq, found.trimmed_seq)

    async def last(self, owners: Iterable[int]) -> Mapping[int, int]:
        changes = self._store.changes
        return {owner: changes[owner].last_seq for owner in owners if owner in changes}

    async def trim(self, before: datetime, *, most: int) -> int:
        every = ((one.at, owner, one.seq) for owner, found in self._store.changes.items() for one in found.kept)
        old = sorted(one for one in every if one[0] < before)[:most]
        for _, owner, seq in old:
            found = self._store.changes[owner]
            _drop(found, {seq})
            found.trimmed_seq = max(found.trimmed_seq, seq)
        return len(old)

    async def forget(self, owner: int, *, most: int) -> int:
        found = self._store.changes.get(owner, ChangesOfOne())
        gone = found.kept[:most]
        _drop(found, {one.seq for one in gone})
        if not found.kept:
            self._store.changes.pop(owner, None)
        return len(gone)

    def _live(self, activity_id: int) -> Activity | None:
        found = self._store.activities.get(activity_id)
        return found if found is not None and found.deleted_at is None else None


def _drop(found: ChangesOfOne, numbers: set[int]) -> None:
    kept: list[Change] = [one for one in found.kept if one.seq not in numbers]
    found.kept = kept
