"""What people do with their activities: record, read, list, correct, delete and undo."""

from dataclasses import dataclass, fields
from datetime import timedelta

from fitness.domain.model.activities import (
    Activity,
    ActivityState,
    DetailsChanges,
    NewActivity,
    TrashedActivity,
    checked,
    recorded,
    revised,
)
from fitness.domain.model.listings import ActivityFilter, Listing, Page
from fitness.domain.model.refusals import (
    ActivityInTrash,
    ActivityNotFound,
    ActivityNotInTrash,
    NotAuthenticated,
    UserNotFound,
    VersionMismatch,
)
from fitness.domain.model.users import Caller, still_there
from fitness.domain.use_cases.caching import (
    CachedReads,
    Copy,
    activity_key,
    activity_scope,
    listing_key,
    user_scope,
)
from fitness.ports.activities import ActivityRepoPort, Created, IdempotencyKey
from fitness.ports.cache import Owed
from fitness.ports.clock import ClockPort
from fitness.ports.outages import DatabaseUnavailable
from fitness.ports.users import UserRepoPort


@dataclass(frozen=True, slots=True)
class ActivityService:
    """Somebody else's activity is treated as one that does not exist."""

    repo: ActivityRepoPort
    users: UserRepoPort
    cached: CachedReads
    clock: ClockPort
    trash_days: int

    async def create(self, new: NewActivity, *, by: Caller, idempotency: IdempotencyKey | None = None) -> Created:
        """Raises InvalidFields, DuplicateActivity, IdempotencyKeyReused, IdempotentRequestInFlight."""
        now = self.clock.now()
        new = checked(new, now=now)
        zone = new.timezone or await self._home_timezone(by)
        owed = Owed.to(user_scope(by.id))
        activity = recorded(new, user_id=by.id, timezone=zone, now=now)
        try:
            created = await self.repo.add(activity, owed=owed, idempotency=idempotency)
        except UserNotFound as error:
            raise NotAuthenticated("the account of this token no longer exists") from error
        if not created.replayed:
            await self._changed(created.activity.id, owed)
        return created

    async def get(self, activity_id: int, *, by: Caller) -> Copy[Activity]:
        """Raises ActivityNotFound, ActivityInTrash."""
        while True:  # ends: whoever finds it live after all looks again
            try:
                copy = await self.cached.through(activity_key(activity_id), lambda: self._load(activity_id))
            except ActivityNotFound as missing:
                state = await self.repo.state(activity_id, owner=by.id)
                if state is ActivityState.TRASHED:
                    raise ActivityInTrash(activity_id) from missing
                if state is None:
                    raise
                continue
            if copy.value.user_id != by.id:
                raise ActivityNotFound(activity_id)
            return copy

    async def list(self, which: ActivityFilter, page: Page, *, by: Caller) -> Copy[Listing[Activity]]:
        """Newest first."""
        return await self.cached.through(listing_key(by.id, which, page), lambda: self.repo.list(by.id, which, page))

    async def update(
        self, activity_id: int, changes: DetailsChanges, *, by: Caller, versions: set[int] | None = None
    ) -> Activity:
        """Merge `changes` in. Where `versions` are named, only if it has one of them.

        Raises InvalidFields, ActivityNotFound, ActivityInTrash, VersionMismatch.
        """
        home = await self._home_timezone(by) if "timezone" in changes else "UTC"
        while True:  # ends: a lost race means that somebody else's change went through
            present = await self.repo.get(activity_id)
            if present is None or present.user_id != by.id:
                await self._refuse_unless_live(activity_id, by)
                continue
            if versions is not None and present.version not in versions:
                raise VersionMismatch(activity_id)
            changed = revised(present, changes, home_timezone=home, now=self.clock.now())
            if changed is present:
                return present
            owed = _owed(activity_id, by)
            if await self.repo.update(changed, owed=owed):
                await self._changed(activity_id, owed)
                return changed

    async def delete(self, activity_id: int, *, by: Caller, versions: set[int] | None = None) -> None:
        """Into the trash. Where `versions` are named, only if it has one of them.

        Raises ActivityNotFound, ActivityInTrash, VersionMismatch.
        """
        owed = _owed(activity_id, by)
        at = self.clock.now()
        while not await self.repo.soft_delete(activity_id, owner=by.id, at=at, versions=versions, owed=owed):
            await self._refuse_unless_live(activity_id, by)
            if versions is not None:
                raise VersionMismatch(activity_id)
        await self.cached.settle(owed)

    async def trash(self, page: Page, *, by: Caller) -> Listing[TrashedActivity]:
        """Latest deleted first, each with the time at which it will be gone for good."""
        found = await self.repo.trash(by.id, page)
        return Listing(tuple(self._with_purge_at(one) for one in found.items), found.total, found.next)

    async def restore(self, activity_id: int, *, by: Caller) -> Activity:
        """Out of the trash. Raises ActivityNotFound, ActivityNotInTrash, DuplicateActivity."""
        owed = _owed(activity_id, by)
        activity = await self.repo.restore(activity_id, owner=by.id, at=self.clock.now(), owed=owed)
        if activity is None:
            if await self.repo.state(activity_id, owner=by.id) is None:
                raise ActivityNotFound(activity_id)
            raise ActivityNotInTrash(activity_id)
        await self._changed(activity_id, owed)
        return activity

    async def _load(self, activity_id: int) -> Activity:
        activity = await self.repo.get(activity_id)
        if activity is None:
            raise ActivityNotFound(activity_id)
        return activity

    async def _changed(self, activity_id: int, owed: Owed) -> None:
        """Drop the stale copies, then put a fresh one in their place: by the same path as any read."""
        await self.cached.settle(owed)
        if not self.cached.believed:
            return
        try:
            await self.cached.through(activity_key(activity_id), lambda: self._load(activity_id))
        except (ActivityNotFound, DatabaseUnavailable):
            return  # deleted, or out of reach, in the meantime: the change is made all the same

    async def _refuse_unless_live(self, activity_id: int, by: Caller) -> None:
        """Returns where the activity was restored since it was looked for."""
        state = await self.repo.state(activity_id, owner=by.id)
        if state is ActivityState.TRASHED:
            raise ActivityInTrash(activity_id)
        if state is None:
            raise ActivityNotFound(activity_id)

    async def _home_timezone(self, by: Caller) -> str:
        return still_there(await self.users.get(by.id)).timezone

    def _with_purge_at(self, activity: Activity) -> TrashedActivity:
        assert activity.deleted_at is not None
        kept = {field.name: getattr(activity, field.name) for field in fields(Activity)}
        return TrashedActivity(**kept, purge_at=activity.deleted_at + timedelta(days=self.trash_days))


def _owed(activity_id: int, by: Caller) -> Owed:
    return Owed.to(activity_scope(activity_id), user_scope(by.id))
