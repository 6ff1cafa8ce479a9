"""What people do with their activities: record, read, list, correct, delete and undo."""

from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial

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
    ActivityExpired,
    ActivityInTrash,
    ActivityNotFound,
    ActivityNotInTrash,
    NotAuthenticated,
    Refusal,
    UserNotFound,
    VersionMismatch,
)
from fitness.domain.model.users import Caller, still_there
from fitness.domain.model.versions import ANY_VERSION, Versions
from fitness.domain.use_cases.begun import Begun
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import activity_key, activity_scope, listing_key, timezone_key, user_scope
from fitness.domain.use_cases.caching.reads import CachedReads, Copy
from fitness.ports.activities import ActivityRepoPort, Created
from fitness.ports.cache import Miss, Scope
from fitness.ports.clock import ClockPort
from fitness.ports.messages import IdempotencyKey
from fitness.ports.users import UserRepoPort


@dataclass(frozen=True, slots=True)
class ActivityService:
    """Somebody else's activity is treated as one that does not exist."""

    repo: ActivityRepoPort
    users: UserRepoPort
    cached: CachedReads
    changes: Changes
    clock: ClockPort
    trash_days: int

    async def create(self, new: NewActivity, *, by: Caller, idempotency: IdempotencyKey | None = None) -> Created:
        """Raises InvalidFields, DuplicateActivity, IdempotencyKeyReused, IdempotentRequestInFlight."""
        now = self.clock.now()
        new = checked(new, now=now)
        (activity_id,) = await self.repo.new_ids(1)
        key = activity_key(activity_id)
        with Begun(self.cached.begin(key)) as asked:
            zone = new.timezone or await self._home_timezone(by)
            begun = await asked
        activity = recorded(new, id=activity_id, user_id=by.id, timezone=zone, now=now)
        try:
            created = await self.changes.make(
                [user_scope(by.id)],
                partial(self.repo.add, activity),
                idempotency=idempotency,
                changed=lambda created: not created.replayed,
            )
        except UserNotFound as error:
            raise NotAuthenticated("the account of this token no longer exists") from error
        if created.replayed:
            await self.changes.refresh(user_scope(by.id))
        else:
            await self.cached.write_through(key, created.activity, begun)
        return created

    async def get(self, activity_id: int, *, by: Caller, miss: Miss | None = None) -> Copy[Activity]:
        """`miss` is what a peek found for the activity: with it the cache is not asked again.

        Raises ActivityNotFound, ActivityInTrash, ActivityExpired.
        """
        key = activity_key(activity_id)
        while True:  # ends: each further round means that somebody restored the activity between two looks
            try:
                copy = await self.cached.read_through(key, lambda: self._load(activity_id), miss=miss)
            except ActivityNotFound as missing:
                miss = None
                state = await self.repo.state(activity_id, owner=by.id)
                if state is ActivityState.TRASHED:
                    raise await self._refusal_of_trashed(activity_id, by) from missing
                if state is None:
                    raise
                continue
            if copy.value.user_id != by.id:
                raise ActivityNotFound(activity_id)
            return copy

    async def list(
        self, which: ActivityFilter, page: Page, *, by: Caller, miss: Miss | None = None
    ) -> Copy[Listing[Activity]]:
        """The activities that `which` asks for, in its order; `miss` as for `get`."""
        return await self.cached.read_through(
            listing_key(by.id, which, page), lambda: self.repo.list(by.id, which, page), miss=miss
        )

    async def update(
        self, activity_id: int, changes: DetailsChanges, *, by: Caller, versions: Versions = ANY_VERSION
    ) -> Activity:
        """Merge `changes` into the activity, if it is at one of the `versions`.

        Raises InvalidFields, ActivityNotFound, ActivityInTrash, ActivityExpired, VersionMismatch.
        """
        home = await self._home_timezone(by) if "timezone" in changes else "UTC"
        while True:  # ends: each further round means that somebody else's change was committed
            present = await self.repo.get(activity_id)
            if present is None or present.user_id != by.id:
                await self._refuse_unless_live(activity_id, by)
                continue
            if present.version not in versions:
                await self.changes.refresh(*_stale(activity_id, by))
                raise VersionMismatch(activity_id)
            changed = revised(present, changes, home_timezone=home, now=self.clock.now())
            if changed is present:
                await self.changes.refresh(*_stale(activity_id, by))
                return present
            if await self.changes.make(_stale(activity_id, by), partial(self.repo.update, changed)):
                return changed

    async def delete(self, activity_id: int, *, by: Caller, versions: Versions = ANY_VERSION) -> None:
        """Move the activity into the trash, if it is at one of the `versions`.

        Raises ActivityNotFound, ActivityInTrash, ActivityExpired, VersionMismatch.
        """
        soft_delete = partial(self.repo.soft_delete, activity_id, owner=by.id, at=self.clock.now(), versions=versions)
        while not await self.changes.make(_stale(activity_id, by), soft_delete):
            await self._refuse_unless_live(activity_id, by)
            if versions != ANY_VERSION:
                await self.changes.refresh(*_stale(activity_id, by))
                raise VersionMismatch(activity_id)

    async def trash(self, page: Page, *, by: Caller) -> Listing[TrashedActivity]:
        """Trashed activities, latest deleted first, each with the time at which it will be gone for good."""
        found = await self.repo.trash(by.id, page)
        return Listing(tuple(self._with_purge_at(one) for one in found.items), found.total, found.next)

    async def restore(self, activity_id: int, *, by: Caller, versions: Versions = ANY_VERSION) -> Activity:
        """Move the activity out of the trash, if it is at one of the `versions`.

        Raises ActivityNotFound, ActivityNotInTrash, ActivityExpired, VersionMismatch, DuplicateActivity.
        """
        now = self.clock.now()
        restore = partial(
            self.repo.restore,
            activity_id,
            owner=by.id,
            at=now,
            versions=versions,
            trashed_after=now - timedelta(days=self.trash_days),
        )
        activity = await self.changes.make(_stale(activity_id, by), restore)
        if activity is None:
            state = await self.repo.state(activity_id, owner=by.id)
            if state is None:
                raise ActivityNotFound(activity_id)
            if state is ActivityState.TRASHED and await self._expired(activity_id, by):
                raise ActivityExpired(activity_id)
            if state is ActivityState.TRASHED and versions != ANY_VERSION:
                raise VersionMismatch(activity_id)
            raise ActivityNotInTrash(activity_id)
        return activity

    async def _load(self, activity_id: int) -> Activity:
        activity = await self.repo.get(activity_id)
        if activity is None:
            raise ActivityNotFound(activity_id)
        return activity

    async def _refuse_unless_live(self, activity_id: int, by: Caller) -> None:
        """Returns only if the activity was restored since the caller looked for it."""
        state = await self.repo.state(activity_id, owner=by.id)
        if state is ActivityState.TRASHED:
            raise await self._refusal_of_trashed(activity_id, by)
        if state is None:
            raise ActivityNotFound(activity_id)

    async def _refusal_of_trashed(self, activity_id: int, by: Caller) -> Refusal:
        return ActivityExpired(activity_id) if await self._expired(activity_id, by) else ActivityInTrash(activity_id)

    async def _expired(self, activity_id: int, by: Caller) -> bool:
        """Whether it is in the trash and nobody can restore it any more: it is purged soon."""
        trashed_at = await self.repo.trashed_at(activity_id, owner=by.id)
        return trashed_at is not None and trashed_at <= self.clock.now() - timedelta(days=self.trash_days)

    async def _home_timezone(self, by: Caller) -> str:
        async def load() -> str:
            return still_there(await self.users.get(by.id)).timezone

        return (await self.cached.read_through(timezone_key(by.id), load)).value

    def _with_purge_at(self, activity: Activity) -> TrashedActivity:
        assert activity.deleted_at is not None
        kept = {field.name: getattr(activity, field.name) for field in fields(Activity)}
        return TrashedActivity(**kept, purge_at=activity.deleted_at + timedelta(days=self.trash_days))


def _stale(activity_id: int, by: Caller) -> tuple[Scope, ...]:
    """The scopes that a change of the activity makes stale."""
    return activity_scope(activity_id), user_scope(by.id)
