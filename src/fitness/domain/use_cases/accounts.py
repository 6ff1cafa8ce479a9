"""Accounts: registration, login, passwords, and one's own profile."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fitness.domain.model.passwords import normalized_password
from fitness.domain.model.refusals import BadCredentials, BadResetToken, ProfileMismatch, WrongPassword
from fitness.domain.model.text import text_problem
from fitness.domain.model.users import (
    EMAIL,
    Caller,
    EmailAddress,
    ProfileChanges,
    Registration,
    User,
    checked_password,
    checked_profile,
    checked_registration,
    still_there,
)
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import account_scope
from fitness.domain.use_cases.logins import LoginAttempts
from fitness.domain.use_cases.requesters import Requester
from fitness.domain.use_cases.sessions import Client, SessionService, SessionTokens
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import PasswordHasherPort, ResetTokenPort
from fitness.ports.users import Credentials, UserRepoPort

Meant = Callable[[User], bool]
"""Whether the profile is in a state that the requester means to change."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    session: SessionTokens
    device_token: str
    """The token to send with the next login from the same device."""


@dataclass(frozen=True, slots=True)
class AccountService:
    users: UserRepoPort
    passwords: PasswordHasherPort
    reset_tokens: ResetTokenPort
    sessions: SessionService
    attempts: LoginAttempts
    changes: Changes
    clock: ClockPort

    async def register(self, registration: Registration) -> User:
        """Raises InvalidFields, EmailTaken, Overloaded."""
        registration = checked_registration(registration)
        password_hash = await self.passwords.hash(registration.password)
        user = await self.users.add(registration, password_hash=password_hash, at=self.clock.now())
        # After a backup is restored, ids are given again. A request with an old token of this id may have cached that
        # there is no such account, and that copy must not stay.
        await self.changes.refresh(account_scope(user.id))
        return user

    async def login(
        self, address: EmailAddress, password: str, *, by: Requester, user_agent: str | None = None
    ) -> LoggedIn:
        """Call this only after `LoginAttempts.admit` has let the login pass.

        Raises BadCredentials, after the same work whether or not the account exists, and Overloaded.
        """
        own_device = self.attempts.is_own(address, by)
        began = self.clock.now()  # a change of the password from now on ends the session that this login begins
        known = None if text_problem(address, max_length=EMAIL.max_length) else await self.users.credentials(address)
        matches = await self._matches(password, known.password_hash if known else None, known=own_device)
        if known is None or not matches or not await self._still_matches(address, password, known):
            await self.attempts.failed(address, by)
            raise BadCredentials
        await self._rehash(known, password)
        device_token = await self.attempts.succeeded(address, by)
        session = await self.sessions.begin(known.user_id, Client(by.address, user_agent), since=began)
        return LoggedIn(session, device_token)

    async def me(self, caller: Caller) -> User:
        """Raises NotAuthenticated when the account is gone."""
        return still_there(await self.users.get(caller.id))

    async def update_me(self, changes: ProfileChanges, *, by: Caller, meant: Meant | None = None) -> User:
        """Merge `changes` into the profile, if it is a `meant` one.

        Raises InvalidFields, ProfileMismatch, NotAuthenticated when the account is gone.
        """
        changes = checked_profile(changes)
        while True:  # ends: each further round means that somebody else's change was committed
            seen = None if meant is None else await self._meant(meant, by)
            update = partial(self.users.update_profile, by.id, changes, at=self.clock.now(), seen=seen)
            changed = await self.changes.make([account_scope(by.id)], update)
            if changed is not None or seen is None:
                return still_there(changed)

    async def change_password(self, current: str, new: str, *, by: Caller) -> None:
        """Ends every other session of the account. Raises InvalidFields, WrongPassword."""
        new = checked_password(new, field="new")
        before = await self._proven(current, by)
        set_password = partial(
            self.users.set_password,
            by.id,
            before=before,
            after=await self.passwords.hash(new, known=True),
            at=self.clock.now(),
            spared=by.session_id,
        )
        if not await self.changes.make([account_scope(by.id)], set_password):
            raise WrongPassword  # it was changed meanwhile
        await self.sessions.forget_all(by.id, spared=by.session_id)

    async def reset_password(self, token: str, password: str) -> None:
        """Ends every session of the account. Raises InvalidFields, BadResetToken."""
        password = checked_password(password, field="password")
        user_id = self.reset_tokens.user_of(token)
        before = None if user_id is None else await self.users.password_hash(user_id)
        if user_id is None or before is None or not self.reset_tokens.verify(token, before, at=self.clock.now()):
            raise BadResetToken
        after = await self.passwords.hash(password, known=True)
        set_password = partial(
            self.users.set_password, user_id, before=before, after=after, at=self.clock.now(), spared=None
        )
        if not await self.changes.make([account_scope(user_id)], set_password):
            raise BadResetToken  # it was used meanwhile
        await self.sessions.forget_all(user_id)

    async def delete_me(self, password: str, *, by: Caller, meant: Meant | None = None) -> None:
        """An admin can restore the account for RESTORED_FOR. Raises WrongPassword, ProfileMismatch, LastAdmin."""
        before = await self._proven(password, by)
        if meant is not None:
            await self._meant(meant, by)
        soft_delete = partial(self.users.soft_delete, by.id, before=before, at=self.clock.now())
        if not await self.changes.make([account_scope(by.id)], soft_delete):
            raise WrongPassword
        await self.sessions.forget_all(by.id)

    async def _meant(self, meant: Meant, caller: Caller) -> User:
        """The caller's profile. Raises ProfileMismatch, NotAuthenticated when the account is gone."""
        found = await self.me(caller)
        if not meant(found):
            raise ProfileMismatch
        return found

    async def _proven(self, password: str, caller: Caller) -> str:
        """The hash of the caller's password, if `password` is that. Raises WrongPassword."""
        password_hash = await self.users.password_hash(caller.id)
        if password_hash is None or not await self._matches(password, password_hash, known=True):
            raise WrongPassword
        return password_hash

    async def _still_matches(self, address: EmailAddress, password: str, known: Credentials) -> bool:
        """Whether the login is still good: during the first check the password may have been changed, or the account
        deleted.
        """
        now = await self.users.credentials(address)
        return now == known or (now is not None and await self._matches(password, now.password_hash, known=True))

    async def _rehash(self, known: Credentials, password: str) -> None:
        """Hash the password anew if it was hashed with less work, or in another form than the normal one."""
        normal = normalized_password(password)
        if self.passwords.outdated(known.password_hash) or (
            normal != password and not await self.passwords.verify(normal, known.password_hash, known=True)
        ):
            after = await self.passwords.hash(normal, known=True)
            await self.users.rehash(known.user_id, before=known.password_hash, after=after)

    async def _matches(self, password: str, password_hash: str | None, *, known: bool) -> bool:
        """Whether the password matches in its normal form, or else as it was typed.

        Passwords were hashed as typed before there was a normal form. Which forms are tried depends on the password
        alone, not on the account.
        """
        normal = normalized_password(password)
        if await self.passwords.verify(normal, password_hash, known=known):
            return True
        return normal != password and await self.passwords.verify(password, password_hash, known=known)
