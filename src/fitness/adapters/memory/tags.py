"""Tags, counted from the activities."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.changes import ChangeKind
from fitness.domain.model.tags import MOST_LISTED, TagCount, retagged
from fitness.ports.messages import Messages


class InMemoryTagRepo:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def list(self, owner: int) -> Sequence[TagCount]:
        activities = self._store.activities.values()
        counts = Counter(
            tag for one in activities if one.user_id == owner and one.deleted_at is None for tag in one.tags
        )
        found = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        return [TagCount(*one) for one in found[:MOST_LISTED]]

    async def tagged(self, owner: int, tag: str, *, most: int) -> Sequence[int]:
        found = [one.id for one in self._store.activities.values() if one.user_id == owner and tag in one.tags]
        return sorted(found)[:most]

    async def replace(
        self, owner: int, tag: str, *, instead: str | None, ids: Sequence[int], at: datetime, messages: Messages
    ) -> int:
        activities = self._store.activities
        kept = [activities[number] for number in ids if number in activities]
        changed = [one for one in kept if one.user_id == owner and tag in one.tags]
        for one in changed:
            tags = retagged(one, tag, instead)
            activities[one.id] = retold = replace(one, tags=tags, version=one.version + 1, updated_at=at)
            self._store.log_change(ChangeKind.UPDATED, retold, at=at)
        if changed:
            self._store.write(messages)
        return len(changed)
