"""Accounts in a dictionary."""

from dataclasses import asdict, replace
from datetime import datetime

from fitness.adapters.memory.listing import listing
from fitness.adapters.memory.store import InMemoryStore, SessionsEnded
from fitness.domain.model.audit import AuditAction
from fitness.domain.model.listings import Listing, Page, Position
from fitness.domain.model.refusals import EmailTaken, LastAdmin
from fitness.domain.model.users import (
    LIVING,
    Account,
    AccountFilter,
    AccountState,
    ProfileChanges,
    Registration,
    Role,
    Tier,
    User,
    WeekStart,
)
from fitness.ports.messages import Messages
from fitness.ports.users import Credentials


class InMemoryUserRepo:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def add(self, registration: Registration, *, password_hash: str, at: datetime) -> User:
        if await self.find(registration.email) is not None:
            raise EmailTaken
        user = User(
            id=next(self._store.ids),
            email=registration.email,
            name=registration.name,
            timezone=registration.timezone,
            week_start=WeekStart.MONDAY,
            role=Role.USER,
            tier=Tier.FREE,
            created_at=at,
            updated_at=at,
        )
        self._store.users[user.id] = user
        self._store.password_hashes[user.id] = password_hash
        return user

    async def get(self, user_id: int) -> User | None:
        return self._store.users.get(user_id)

    async def find(self, email: str) -> User | None:
        return next((user for user in self._store.users.values() if user.email == email), None)

    async def credentials(self, email: str) -> Credentials | None:
        user = await self.find(email)
        return Credentials(user.id, self._store.password_hashes[user.id]) if user is not None else None

    async def update_profile(
        self, user_id: int, changes: ProfileChanges, *, at: datetime, seen: User | None = None, messages: Messages
    ) -> User | None:
        user = self._store.users.get(user_id)
        if user is None or seen not in (None, user):
            return None
        changed = replace(user, **changes)
        if changed != user:
            changed = replace(changed, updated_at=at)
        self._store.users[user_id] = changed
        self._store.write(messages)
        return changed

    async def password_hash(self, user_id: int) -> str | None:
        return self._store.password_hashes[user_id] if user_id in self._store.users else None

    async def hash_to_reset(self, user_id: int, *, messages: Messages) -> str | None:
        known = await self.password_hash(user_id)
        if known is not None:
            self._store.log(AuditAction.PASSWORD_RESET_ISSUED, messages, subject_id=user_id, owner_id=user_id)
            self._store.write(messages)
        return known

    async def rehash(self, user_id: int, *, before: str, after: str) -> None:
        if await self.password_hash(user_id) == before:
            self._store.password_hashes[user_id] = after

    async def set_password(
        self, user_id: int, *, before: str | None, after: str, at: datetime, spared: str | None, messages: Messages
    ) -> bool:
        known = await self.password_hash(user_id)
        if known is None or before not in (None, known):
            return False
        self._store.password_hashes[user_id] = after
        self._end_sessions(user_id, at, spared)
        self._store.write(messages)
        return True

    async def soft_delete(self, user_id: int, *, before: str, at: datetime, messages: Messages) -> bool:
        if await self.password_hash(user_id) != before:
            return False
        self._refuse_last_admin(user_id)
        self._store.deleted_users[user_id] = self._store.users.pop(user_id), at
        self._end_sessions(user_id, at, None)
        self._store.write(messages)
        return True

    async def restore(self, user_id: int, *, after: datetime, messages: Messages) -> User | None:
        user, deleted_at = self._store.deleted_users.get(user_id, (None, None))
        if user is None or deleted_at is None or deleted_at <= after:
            return None
        if await self.find(user.email) is not None:
            raise EmailTaken
        del self._store.deleted_users[user_id]
        self._store.log(AuditAction.USER_RESTORED, messages, subject_id=user_id, owner_id=user_id)
        user = self._store.users[user_id] = replace(user, updated_at=self._store.audit[-1].at)
        self._store.write(messages)
        return user

    async def set_standing(
        self, user_id: int, *, role: Role | None = None, tier: Tier | None = None, messages: Messages
    ) -> User | None:
        user = self._store.users.get(user_id)
        if user is None:
            return None
        if role is Role.USER:
            self._refuse_last_admin(user_id)
        self._store.log(AuditAction.USER_CHANGED, messages, subject_id=user_id, owner_id=user_id)
        user = replace(user, role=role or user.role, tier=tier or user.tier, updated_at=self._store.audit[-1].at)
        self._store.users[user_id] = user
        self._store.write(messages)
        return user

    def _refuse_last_admin(self, user_id: int) -> None:
        admins = [user.id for user in self._store.users.values() if user.role is Role.ADMIN]
        if admins == [user_id]:
            raise LastAdmin

    def _end_sessions(self, user_id: int, at: datetime, spared: str | None) -> None:
        ended = self._store.sessions_ended.setdefault(user_id, SessionsEnded())
        ended.before, ended.spared = at, spared

    async def list(self, page: Page, which: AccountFilter = LIVING) -> Listing[Account]:
        living = [(user, None) for user in self._store.users.values()]
        deleted = self._store.deleted_users.values()
        everybody = [Account(**asdict(user), deleted_at=at) for user, at in (*living, *deleted)]
        found = [account for account in everybody if _matches(account, which)]
        return listing(found, page, lambda account: Position(account.created_at, account.id))


def _matches(account: Account, which: AccountFilter) -> bool:
    state = AccountState.LIVING if account.deleted_at is None else AccountState.DELETED
    return (
        which.email in (None, account.email)
        and which.id in (None, account.id)
        and which.role in (None, account.role)
        and which.tier in (None, account.tier)
        and which.state in (None, state)
    )
