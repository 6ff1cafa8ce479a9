"""Actions that take authority: permanent deletion, others' standing, and the log of both."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from fitness.domain.model.activities import ActivityDates, ActivityState
from fitness.domain.model.audit import AuditEntry, AuditFilter, Authority, checked_reason
from fitness.domain.model.listings import Listing, Page
from fitness.domain.model.refusals import (
    ActivityNotFound,
    ActivityNotInTrash,
    AdminOnly,
    FieldProblem,
    InvalidFields,
    UserNotDeleted,
    UserNotFound,
)
from fitness.domain.model.users import RESTORED_FOR, Account, AccountFilter, Caller, Role, Tier, User, normalized_email
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import account_scope, activity_scope, user_scope
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.audit import AuditLogPort
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import RESET_TOKEN_TTL, ResetTokenPort
from fitness.ports.users import UserRepoPort


@dataclass(frozen=True, slots=True)
class ResetIssued:
    reset_token: str
    """For POST `/auth/reset`, once. Give it to the account's owner alone."""
    expires_at: datetime
    """Until when it is good."""


@dataclass(frozen=True, slots=True)
class AdminService:
    """The caller is looked up in the database each time: authority is never taken from the cache."""

    activities: ActivityRepoPort
    users: UserRepoPort
    audit: AuditLogPort
    reset_tokens: ResetTokenPort
    changes: Changes
    clock: ClockPort

    async def authorize(self, caller: Caller) -> None:
        """Raises AdminOnly."""
        user = await self.users.get(caller.id)
        if user is None or user.role is not Role.ADMIN:
            raise AdminOnly

    async def purge(self, activity_id: int, *, reason: str, by: Caller) -> None:
        """Delete a trashed activity for good, with all that belongs to it.

        Raises AdminOnly, InvalidFields, ActivityNotFound, ActivityNotInTrash.
        """
        await self.authorize(by)
        authority = Authority(actor_id=by.id, at=self.clock.now(), reason=checked_reason(reason))
        owner = await self.activities.owner(activity_id)
        if owner is None:
            raise ActivityNotFound(activity_id)
        stale = activity_scope(activity_id), user_scope(owner)
        if not await self.changes.make(stale, partial(self.activities.purge, activity_id), authority=authority):
            if await self.activities.owner(activity_id) is None:
                raise ActivityNotFound(activity_id)
            raise ActivityNotInTrash(activity_id)

    async def audit_log(self, page: Page, which: AuditFilter, *, by: Caller) -> Listing[AuditEntry]:
        """Latest first. Raises AdminOnly."""
        await self.authorize(by)
        return await self.audit.list(page, which)

    async def set_standing(
        self, user_id: int, *, role: Role | None = None, tier: Tier | None = None, by: Caller
    ) -> User:
        """Raises AdminOnly, InvalidFields where nothing is to be set, UserNotFound, LastAdmin."""
        await self.authorize(by)
        return await self._set_standing(user_id, role, tier, actor_id=by.id)

    async def restore_user(self, user_id: int, *, by: Caller) -> User:
        """Undo the deletion of an account; its sessions stay ended.

        Raises AdminOnly, UserNotFound also where it was deleted too long ago, UserNotDeleted, EmailTaken.
        """
        await self.authorize(by)
        now = self.clock.now()
        authority = Authority(actor_id=by.id, at=now, reason="restored")
        restore = partial(self.users.restore, user_id, after=now - RESTORED_FOR)
        user = await self.changes.make([account_scope(user_id)], restore, authority=authority)
        if user is not None:
            return user
        if await self.users.get(user_id) is not None:
            raise UserNotDeleted(user_id)
        raise UserNotFound(user_id)

    async def issue_reset(self, user_id: int, *, by: Caller) -> ResetIssued:
        """A token with which the account's owner sets another password, once. Raises AdminOnly, UserNotFound."""
        await self.authorize(by)
        return await self._issue_reset(user_id, actor_id=by.id)

    async def issue_reset_as_operator(self, email: str) -> ResetIssued:
        """For the command line. Raises UserNotFound."""
        return await self._issue_reset((await self.user(email)).id, actor_id=None)

    async def _issue_reset(self, user_id: int, *, actor_id: int | None) -> ResetIssued:
        now = self.clock.now()
        authority = Authority(actor_id=actor_id, at=now, reason="password reset")
        hash_to_reset = partial(self.users.hash_to_reset, user_id)
        password_hash = await self.changes.make([account_scope(user_id)], hash_to_reset, authority=authority)
        if password_hash is None:
            raise UserNotFound(user_id)
        until = now + RESET_TOKEN_TTL
        return ResetIssued(self.reset_tokens.issue(user_id, password_hash, until=until), until)

    async def list_users(self, page: Page, which: AccountFilter, *, by: Caller) -> Listing[Account]:
        """Latest first. Raises AdminOnly."""
        await self.authorize(by)
        return await self.users.list(page, which)

    async def list_activities(
        self, owner: int, page: Page, state: ActivityState | None, *, by: Caller
    ) -> Listing[ActivityDates]:
        """A user's activities, trashed ones too, latest first: dates alone, and no content. Raises AdminOnly."""
        await self.authorize(by)
        return await self.activities.dates(owner, page, state)

    async def set_standing_as_operator(self, email: str, *, role: Role | None = None, tier: Tier | None = None) -> User:
        """For the command line, whose user has access to the database anyway. Raises UserNotFound, LastAdmin."""
        return await self._set_standing((await self.user(email)).id, role, tier, actor_id=None)

    async def list_as_operator(self, page: Page) -> Listing[Account]:
        """Every living account, latest first; for the command line."""
        return await self.users.list(page)

    async def user(self, email: str) -> User:
        """Raises UserNotFound."""
        user = await self.users.find(normalized_email(email))
        if user is None:
            raise UserNotFound(email)
        return user

    async def _set_standing(self, user_id: int, role: Role | None, tier: Tier | None, *, actor_id: int | None) -> User:
        changes = {"role": role, "tier": tier}
        if role is None and tier is None:
            raise InvalidFields(FieldProblem("role", "or tier must be given"))
        reason = ", ".join(f"{name} {value}" for name, value in changes.items() if value is not None)
        authority = Authority(actor_id=actor_id, at=self.clock.now(), reason=reason)
        set_standing = partial(self.users.set_standing, user_id, role=role, tier=tier)
        user = await self.changes.make([account_scope(user_id)], set_standing, authority=authority)
        if user is None:
            raise UserNotFound(user_id)
        return user
