"""Activities in a dictionary."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime

from fitness.adapters.memory.listing import listing
from fitness.adapters.memory.store import InMemoryStore, StoredAnswer
from fitness.domain.model.activities import Activity, ActivityDates, ActivityState, restored, trashed
from fitness.domain.model.audit import AuditAction
from fitness.domain.model.changes import ChangeKind
from fitness.domain.model.listings import ActivityFilter, Listing, Page, Position, position_of
from fitness.domain.model.refusals import DuplicateActivity, IdempotencyKeyReused, UserNotFound
from fitness.domain.model.text import folded
from fitness.domain.model.versions import ANY_VERSION, Versions
from fitness.ports.activities import KEPT_FOR, Created
from fitness.ports.messages import Messages


class InMemoryActivityRepo:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def new_ids(self, count: int) -> list[int]:
        return [next(self._store.ids) for _ in range(count)]

    async def add(self, activity: Activity, *, messages: Messages) -> Created:
        idempotency = messages.idempotency
        if idempotency is None:
            return Created(self._insert(activity, messages))
        name = (activity.user_id, idempotency.value)
        answer = self._store.answers.get(name)
        if answer is not None and activity.created_at < answer.at + KEPT_FOR:
            if answer.fingerprint != idempotency.fingerprint:
                raise IdempotencyKeyReused
            return Created(answer.activity, replayed=True)
        kept = self._insert(activity, messages)
        self._store.answers[name] = StoredAnswer(idempotency.fingerprint, kept, activity.created_at)
        return Created(kept)

    async def add_all(self, activities: Sequence[Activity], *, messages: Messages) -> list[Activity]:
        origins = [_origin(one) for one in activities if one.external_id is not None]
        for activity in activities:
            self._refuse_duplicate(activity)
        if len({*origins}) < len(origins):
            raise DuplicateActivity(None)
        return [self._insert(activity, messages) for activity in activities]

    async def get(self, activity_id: int) -> Activity | None:
        found = self._store.activities.get(activity_id)
        return found if found is not None and found.deleted_at is None else None

    async def state(self, activity_id: int, *, owner: int | None = None) -> ActivityState | None:
        found = self._store.activities.get(activity_id)
        if found is None or owner not in (None, found.user_id):
            return None
        return ActivityState.LIVE if found.deleted_at is None else ActivityState.TRASHED

    async def trashed_at(self, activity_id: int, *, owner: int) -> datetime | None:
        found = self._store.activities.get(activity_id)
        return found.deleted_at if found is not None and found.user_id == owner else None

    async def owner(self, activity_id: int) -> int | None:
        found = self._store.activities.get(activity_id)
        return None if found is None else found.user_id

    async def live_id(self, owner: int, *, source: str, external_id: str) -> int | None:
        return next(
            (one.id for one in self._live(owner) if (one.source, one.external_id) == (source, external_id)), None
        )

    async def list(self, owner: int, which: ActivityFilter, page: Page) -> Listing[Activity]:
        found = (one for one in self._live(owner) if matches(one, which))
        return listing(found, page, lambda one: position_of(one, which.sort), falling=which.sort.falling)

    async def update(self, activity: Activity, *, messages: Messages) -> bool:
        present = await self.get(activity.id)
        if present is None or present.user_id != activity.user_id or present.version != activity.version - 1:
            return False
        self._store.activities[activity.id] = activity
        self._store.log_change(ChangeKind.UPDATED, activity, at=activity.updated_at)
        self._store.write(messages)
        return True

    async def soft_delete(
        self, activity_id: int, *, owner: int, at: datetime, messages: Messages, versions: Versions = ANY_VERSION
    ) -> bool:
        present = await self.get(activity_id)
        if present is None or present.user_id != owner or present.version not in versions:
            return False
        self._store.activities[activity_id] = gone = trashed(present, at=at)
        self._store.log_change(ChangeKind.TRASHED, gone, at=at)
        self._store.write(messages)
        return True

    async def trash(self, owner: int, page: Page) -> Listing[Activity]:
        found = (one for one in self._of(owner) if one.deleted_at is not None)
        return listing(found, page, lambda one: Position(one.deleted_at or one.updated_at, one.id))

    async def restore(
        self,
        activity_id: int,
        *,
        owner: int,
        at: datetime,
        messages: Messages,
        versions: Versions = ANY_VERSION,
        trashed_after: datetime | None = None,
    ) -> Activity | None:
        found = self._store.activities.get(activity_id)
        if found is None or found.user_id != owner or found.deleted_at is None or found.version not in versions:
            return None
        if trashed_after is not None and found.deleted_at <= trashed_after:
            return None
        self._refuse_duplicate(found)
        self._store.activities[activity_id] = back = restored(found, at=at)
        self._store.log_change(ChangeKind.RESTORED, back, at=at)
        self._store.write(messages)
        return back

    async def purge(self, activity_id: int, *, messages: Messages) -> bool:
        found = self._store.activities.get(activity_id)
        if found is None or found.deleted_at is None:
            return False
        self._store.delete(activity_id)
        self._store.log(AuditAction.ACTIVITY_PURGED, messages, subject_id=activity_id, owner_id=found.user_id)
        self._store.log_change(ChangeKind.PURGED, found, at=self._store.audit[-1].at)
        self._store.write(messages)
        return True

    async def dates(self, owner: int, page: Page, state: ActivityState | None) -> Listing[ActivityDates]:
        found = [_dates(one) for one in self._of(owner) if state in (None, await self.state(one.id))]
        return listing(found, page, lambda one: Position(one.created_at, one.id))

    def _of(self, owner: int) -> Iterator[Activity]:
        return (one for one in self._store.activities.values() if one.user_id == owner)

    def _live(self, owner: int) -> Iterator[Activity]:
        return (one for one in self._of(owner) if one.deleted_at is None)

    def _insert(self, activity: Activity, messages: Messages) -> Activity:
        self._refuse_duplicate(activity)
        kept = activity if activity.id else replace(activity, id=next(self._store.ids))
        self._store.activities[kept.id] = kept
        self._store.log_change(ChangeKind.CREATED, kept, at=kept.updated_at)
        self._store.write(messages)
        return kept

    def _refuse_duplicate(self, activity: Activity) -> None:
        if activity.user_id not in self._store.users:
            raise UserNotFound(activity.user_id)
        if activity.external_id is None:
            return
        for one in self._live(activity.user_id):
            if _origin(one) == _origin(activity):
                raise DuplicateActivity(one.id)


def _dates(one: Activity) -> ActivityDates:
    return ActivityDates(
        id=one.id,
        user_id=one.user_id,
        created_at=one.created_at,
        updated_at=one.updated_at,
        deleted_at=one.deleted_at,
    )


def _origin(activity: Activity) -> tuple[int, str, str | None]:
    return activity.user_id, activity.source, activity.external_id


def matches(activity: Activity, which: ActivityFilter) -> bool:
    return (
        (not which.activity_types or activity.activity_type in which.activity_types)
        and _not_before(activity, which.since)
        and _not_after(activity, which.until)
        and all(tag in activity.tags for tag in which.tags)
        and not any(tag in activity.tags for tag in which.excluded_tags)
        and which.distance_km.holds(activity.distance_km)
        and which.duration_minutes.holds(activity.duration_minutes)
        and _speaks_of(activity, which.words)
    )


def _not_before(activity: Activity, since: date | datetime | None) -> bool:
    if isinstance(since, datetime):
        return activity.activity_date >= since
    return since is None or activity.local_date >= since


def _not_after(activity: Activity, until: date | datetime | None) -> bool:
    if isinstance(until, datetime):
        return activity.activity_date < until
    return until is None or activity.local_date <= until


def _speaks_of(activity: Activity, words: tuple[str, ...]) -> bool:
    text = folded(f"{activity.title or ''}\n{activity.notes or ''}") if words else ""
    return all(word in text for word in words)
