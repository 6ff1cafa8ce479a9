"""Deletes expired activities, accounts and idempotency keys for good, from dictionaries."""

from collections.abc import Sequence
from datetime import datetime

from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.activities import Activity
from fitness.domain.model.audit import AuditAction
from fitness.domain.model.changes import ChangeKind
from fitness.ports.messages import Messages
from fitness.ports.upkeep import MOST_COUNTED, Departed, Doomed, Overdue


class InMemoryUpkeepRepo:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def expired(self, *, before: datetime, most: int) -> Sequence[Doomed]:
        found = [(at, one.id, one.user_id) for at, one in self._trashed(before)]
        return [Doomed(activity_id, owner) for _, activity_id, owner in sorted(found)[:most]]

    async def purge_expired(self, ids: Sequence[int], *, before: datetime, messages: Messages) -> Sequence[int]:
        return self._purge([one for _, one in self._trashed(before) if one.id in ids], messages)

    async def departed(self, *, before: datetime, most: int) -> Sequence[Departed]:
        taken = {user.email for user in self._store.users.values()}
        found = [(at, user.id, user.email) for user, at in self._store.deleted_users.values() if at <= before]
        return [Departed(user_id, None if email in taken else email) for _, user_id, email in sorted(found)[:most]]

    async def activities_of(self, user_id: int, *, most: int) -> Sequence[int]:
        return [one.id for one in self._store.activities.values() if one.user_id == user_id][:most]

    async def purge_of_departed(self, ids: Sequence[int], *, before: datetime, messages: Messages) -> Sequence[int]:
        gone = {user.id for user in await self.departed(before=before, most=len(self._store.deleted_users))}
        found = [one for one in self._store.activities.values() if one.id in ids and one.user_id in gone]
        return self._purge(found, messages)

    async def erase(self, user_id: int, *, before: datetime, messages: Messages) -> bool:
        _, deleted_at = self._store.deleted_users.get(user_id, (None, None))
        if deleted_at is None or deleted_at > before or await self.activities_of(user_id, most=1):
            return False
        del self._store.deleted_users[user_id], self._store.password_hashes[user_id]
        self._store.sessions_ended.pop(user_id, None)
        for export_id in [one.export.id for one in self._store.exports.values() if one.export.user_id == user_id]:
            self._store.delete_export(export_id)
        self._forget_answers([name for name in self._store.answers if name[0] == user_id])
        for digest in [digest for digest, key in self._store.api_keys.items() if key.user_id == user_id]:
            del self._store.api_keys[digest]
        self._store.log(AuditAction.USER_ERASED, messages, subject_id=user_id, owner_id=user_id)
        self._store.write(messages)
        return True

    async def forget_keys(self, *, before: datetime, most: int) -> int:
        old = [name for name, answer in self._store.answers.items() if answer.at <= before][:most]
        self._forget_answers(old)
        return len(old)

    async def overdue(self, *, trashed: datetime, departed: datetime) -> Overdue:
        activities = [at for at, _ in self._trashed(trashed)]
        accounts = [at for _, at in self._store.deleted_users.values() if at <= departed]
        return Overdue(
            min(len(activities), MOST_COUNTED),
            (trashed - min(activities)).total_seconds() if activities else 0.0,
            min(len(accounts), MOST_COUNTED),
            (departed - min(accounts)).total_seconds() if accounts else 0.0,
        )

    def _trashed(self, before: datetime) -> list[tuple[datetime, Activity]]:
        found = [(one.deleted_at, one) for one in self._store.activities.values()]
        return [(at, one) for at, one in found if at is not None and at <= before]

    def _purge(self, found: Sequence[Activity], messages: Messages) -> Sequence[int]:
        for one in found:
            self._store.delete(one.id)
            self._store.log(AuditAction.ACTIVITY_PURGED, messages, subject_id=one.id, owner_id=one.user_id)
            self._store.log_change(ChangeKind.PURGED, one, at=self._store.audit[-1].at)
        if found:
            self._store.write(messages)
        return [one.id for one in found]

    def _forget_answers(self, names: Sequence[tuple[int, str]]) -> None:
        for name in names:
            del self._store.answers[name]
