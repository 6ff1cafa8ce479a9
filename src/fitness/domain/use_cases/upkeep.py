"""What the service does by itself, on its own authority: delete for good what people deleted, and forget what is over.

Each use case works in batches. A batch is one transaction, which checks again what it deletes. So a use case may be
ended at any moment and begun anew: finished batches stay, and the rest is found again.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from fitness.domain.model.audit import Authority
from fitness.domain.model.changes import CHANGES_KEPT_FOR
from fitness.domain.model.users import RESTORED_FOR, EmailAddress, account_name
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import account_scope, activity_scope, user_scope
from fitness.domain.use_cases.sessions import SessionService
from fitness.ports.activities import KEPT_FOR
from fitness.ports.changes import ChangeLogPort
from fitness.ports.clock import ClockPort
from fitness.ports.jobs import JobQueuePort
from fitness.ports.logins import LoginHistoryPort
from fitness.ports.upkeep import Departed, Overdue, UpkeepRepoPort

PURGED_AT_ONCE = 100
"""The most activities in one transaction, which holds the lock of the audit log; each activity is a scope of the cache.
"""

FORGOTTEN_AT_ONCE = 500

ERASED_AFTER = RESTORED_FOR + timedelta(hours=1)
"""How long after its deletion an account is erased: an hour longer than it can be restored, so that processes whose
clocks differ never do both."""

FAILED_JOBS_KEPT_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class UpkeepService:
    repo: UpkeepRepoPort
    change_log: ChangeLogPort
    logins: LoginHistoryPort
    sessions: SessionService
    jobs: JobQueuePort
    changes: Changes
    clock: ClockPort
    trash_days: int
    secret: bytes
    """The same secret as in LoginAttempts."""

    async def empty_trash(self) -> int:
        """Purge what has been in the trash for `trash_days`. Returns how many."""
        before = self._trashed_before()
        count = 0
        while found := await self.repo.expired(before=before, most=PURGED_AT_ONCE):
            stale = {scope for one in found for scope in (activity_scope(one.id), user_scope(one.owner_id))}
            purge = partial(self.repo.purge_expired, [one.id for one in found], before=before)
            authority = self._authority(f"in the trash for {self.trash_days} days")
            purged = await self.changes.make(stale, purge, authority=authority)
            if not purged:  # other transactions hold all of them; the next run of the job comes soon
                break
            count += len(purged)
        return count

    async def erase_accounts(self) -> int:
        """Erase accounts ERASED_AFTER their deletion. Returns how many."""
        before = self.clock.now() - ERASED_AFTER
        count = 0
        while found := await self.repo.departed(before=before, most=FORGOTTEN_AT_ONCE):
            erased = [await self._erase(one, before) for one in found]
            count += sum(erased)
            if not any(erased):
                break
        return count

    async def forget_expired(self) -> None:
        """Delete idempotency keys, logins, changes and jobs that no longer count."""
        now = self.clock.now()
        await _all(partial(self.repo.forget_keys, before=now - KEPT_FOR, most=FORGOTTEN_AT_ONCE))
        await _all(partial(self.logins.forget_expired, at=now))
        await _all(partial(self.change_log.trim, now - CHANGES_KEPT_FOR, most=FORGOTTEN_AT_ONCE))
        await _all(partial(self.jobs.forget, before=now - FAILED_JOBS_KEPT_FOR))

    async def overdue(self) -> Overdue:
        """What should be gone by now."""
        return await self.repo.overdue(trashed=self._trashed_before(), departed=self.clock.now() - ERASED_AFTER)

    async def _erase(self, account: Departed, before: datetime) -> bool:
        """Delete the activities first and the account last: if this ends midway, the rest is found by the account."""
        while ids := await self.repo.activities_of(account.id, most=PURGED_AT_ONCE):
            if not await self._purge(account.id, ids, before):
                return False
        await _all(partial(self.change_log.forget, account.id, most=FORGOTTEN_AT_ONCE))
        if account.email is not None:
            await self.logins.forget(account_name(EmailAddress(account.email), self.secret))
        await self.sessions.forget_all(account.id)
        erase = partial(self.repo.erase, account.id, before=before)
        scopes = account_scope(account.id), user_scope(account.id)
        return await self.changes.make(scopes, erase, authority=self._authority("30 days after its deletion"))

    async def _purge(self, owner: int, ids: Sequence[int], before: datetime) -> Sequence[int]:
        stale = user_scope(owner), *map(activity_scope, ids)
        purge = partial(self.repo.purge_of_departed, ids, before=before)
        return await self.changes.make(stale, purge, authority=self._authority("its account is erased"))

    def _authority(self, reason: str) -> Authority:
        """The service's own."""
        return Authority(actor_id=None, at=self.clock.now(), reason=reason)

    def _trashed_before(self) -> datetime:
        return self.clock.now() - timedelta(days=self.trash_days)


async def _all(some: Callable[[], Awaitable[int]]) -> None:
    while await some():  # ends: each round leaves fewer
        pass
