"""Accounts in a dictionary."""

from dataclasses import replace
from datetime import datetime

from fitness.adapters.memory.listing import listing
from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.audit import AuditAction
from fitness.domain.model.listings import Listing, Page, Position
from fitness.domain.model.refusals import EmailTaken
from fitness.domain.model.users import ProfileChanges, Registration, Role, Tier, User, WeekStart
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
        self, user_id: int, changes: ProfileChanges, *, at: datetime, messages: Messages
    ) -> User | None:
        user = self._store.users.get(user_id)
        if user is not None:
            user = self._store.users[user_id] = replace(user, **changes, updated_at=at)
            self._store.write(messages)
        return user

    async def set_standing(
        self, user_id: int, *, role: Role | None = None, tier: Tier | None = None, messages: Messages
    ) -> User | None:
        user = self._store.users.get(user_id)
        if user is None:
            return None
        self._store.log(AuditAction.USER_CHANGED, messages, subject_id=user_id, owner_id=user_id)
        user = replace(user, role=role or user.role, tier=tier or user.tier, updated_at=self._store.audit[-1].at)
        self._store.users[user_id] = user
        self._store.write(messages)
        return user

    async def list(self, page: Page) -> Listing[User]:
        return listing(self._store.users.values(), page, lambda user: Position(user.created_at, user.id))
