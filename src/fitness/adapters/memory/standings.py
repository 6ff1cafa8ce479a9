"""Standings and revocations in dictionaries."""

from datetime import datetime

from fitness.adapters.memory.store import InMemoryStore, SessionsEnded
from fitness.domain.model.sessions import IDLE_FOR, microseconds
from fitness.domain.model.users import NOBODY, Caller, Standing, begun_too_early
from fitness.ports.messages import Messages
from fitness.ports.standings import REVOCATIONS_TOLD_FOR


class InMemoryStandings:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def of(self, user_id: int, *, at: datetime) -> Standing:
        user = self._store.users.get(user_id)
        if user is None:
            return NOBODY
        ended = self._ended(user_id)
        told = sorted(one for one, revoked_at in ended.revoked.items() if revoked_at > at - REVOCATIONS_TOLD_FOR)
        not_before_us = microseconds(ended.before) if ended.before else 0
        return Standing(user.tier, user.role, not_before_us, ended.spared, tuple(told))

    async def ended(self, caller: Caller) -> bool:
        user, ended = self._store.users.get(caller.id), self._ended(caller.id)
        if user is None or caller.session_id in ended.revoked:
            return True
        before_us = microseconds(ended.before) if ended.before else 0
        return begun_too_early(caller, not_before_us=before_us, spared=ended.spared)

    async def revoke(self, user_id: int, session_id: str, *, at: datetime, messages: Messages) -> bool:
        if user_id not in self._store.users:
            return False
        revoked = self._ended(user_id).revoked
        for forgotten in [one for one, revoked_at in revoked.items() if revoked_at <= at - IDLE_FOR]:
            del revoked[forgotten]
        revoked[session_id] = at
        self._store.write(messages)
        return True

    async def revoke_all(self, user_id: int, *, at: datetime, spared: str | None = None, messages: Messages) -> bool:
        if user_id not in self._store.users:
            return False
        ended = self._ended(user_id)
        ended.before, ended.spared = at, spared
        self._store.write(messages)
        return True

    def _ended(self, user_id: int) -> SessionsEnded:
        return self._store.sessions_ended.setdefault(user_id, SessionsEnded())
