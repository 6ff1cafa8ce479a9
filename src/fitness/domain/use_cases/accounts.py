"""Accounts: coming in, and one's own profile."""

import secrets
from dataclasses import dataclass

from fitness.domain.model.refusals import BadCredentials
from fitness.domain.model.users import (
    Caller,
    ProfileChanges,
    Registration,
    User,
    checked_profile,
    checked_registration,
    email_problem,
    normalized_email,
    still_there,
)
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import AccessToken, AccessTokenPort, PasswordHasherPort
from fitness.ports.users import UserRepoPort


@dataclass(frozen=True, slots=True)
class AccountService:
    users: UserRepoPort
    passwords: PasswordHasherPort
    tokens: AccessTokenPort
    clock: ClockPort

    async def register(self, registration: Registration) -> User:
        """Raises InvalidFields, EmailTaken."""
        registration = checked_registration(registration)
        password_hash = await self.passwords.hash(registration.password)
        return await self.users.add(registration, password_hash=password_hash, at=self.clock.now())

    async def login(self, email: str, password: str) -> AccessToken:
        """Raises BadCredentials, after the same work whether or not the account exists."""
        address = normalized_email(email)
        known = None if email_problem(address) else await self.users.credentials(address)
        matches = await self.passwords.verify(password, known.password_hash if known else None)
        if known is None or not matches:
            raise BadCredentials
        return self.tokens.issue(Caller(known.user_id, secrets.token_hex(16)))

    async def me(self, caller: Caller) -> User:
        """Raises NotAuthenticated when the account is gone."""
        return still_there(await self.users.get(caller.id))

    async def update_me(self, changes: ProfileChanges, *, by: Caller) -> User:
        """Raises InvalidFields, NotAuthenticated when the account is gone."""
        changes = checked_profile(changes)
        return still_there(await self.users.update_profile(by.id, changes, at=self.clock.now()))
