"""Accounts: coming in, and one's own profile."""

import math
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from fitness.domain.model.refusals import BadCredentials, LoginDelayed
from fitness.domain.model.users import (
    Caller,
    EmailAddress,
    ProfileChanges,
    Registration,
    User,
    account_name,
    checked_profile,
    checked_registration,
    email_problem,
    login_delay,
    still_there,
)
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import account_scope
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import AccessToken, AccessTokenPort, PasswordHasherPort
from fitness.ports.logins import FailedLoginsPort
from fitness.ports.users import UserRepoPort


@dataclass(frozen=True, slots=True)
class AccountService:
    """`account_secret` is what failed logins are counted under instead of an address."""

    users: UserRepoPort
    passwords: PasswordHasherPort
    tokens: AccessTokenPort
    failed_logins: FailedLoginsPort
    changes: Changes
    clock: ClockPort
    account_secret: bytes

    async def register(self, registration: Registration) -> User:
        """Raises InvalidFields, EmailTaken."""
        registration = checked_registration(registration)
        password_hash = await self.passwords.hash(registration.password)
        return await self.users.add(registration, password_hash=password_hash, at=self.clock.now())

    async def login(self, address: EmailAddress, password: str) -> AccessToken:
        """Raises BadCredentials, after the same work whether or not the account exists, and LoginDelayed."""
        now = self.clock.now()
        account = account_name(address, self.account_secret)
        failed = await self.failed_logins.of(account)
        if failed is not None and (wait := login_delay(failed.count) - (now - failed.last_at)) > timedelta():
            raise LoginDelayed(math.ceil(wait.total_seconds()))
        known = None if email_problem(address) else await self.users.credentials(address)
        matches = await self.passwords.verify(password, known.password_hash if known else None)
        if known is None or not matches:
            await self.failed_logins.add(account, at=now)
            raise BadCredentials
        if failed is not None:
            await self.failed_logins.clear(account)
        return self.tokens.issue(Caller(known.user_id, secrets.token_hex(16)))

    async def me(self, caller: Caller) -> User:
        """Raises NotAuthenticated when the account is gone."""
        return still_there(await self.users.get(caller.id))

    async def update_me(self, changes: ProfileChanges, *, by: Caller) -> User:
        """Raises InvalidFields, NotAuthenticated when the account is gone."""
        changes = checked_profile(changes)
        update = partial(self.users.update_profile, by.id, changes, at=self.clock.now())
        return still_there(await self.changes.make([account_scope(by.id)], update))
