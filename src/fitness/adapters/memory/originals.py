"""Uploaded files in dictionaries: the files' metadata, and what was read from them."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime

from fitness.adapters.memory.activities import InMemoryActivityRepo
from fitness.adapters.memory.store import InMemoryStore, StoredReading
from fitness.domain.model.activities import Activity, Details
from fitness.domain.model.originals import NewOriginal, Original, Reading, details_of
from fitness.domain.model.refusals import DuplicateActivity, IdempotentRequestInFlight, MatchedOn
from fitness.domain.model.twins import Twin, same_recording
from fitness.ports.messages import Messages
from fitness.ports.originals import REQUEST_KEY_KEPT_FOR


class InMemoryOriginalRepo:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store
        self._activities = InMemoryActivityRepo(store)

    async def add(
        self,
        activities: Sequence[Activity],
        numbers: Sequence[int],
        *,
        original: NewOriginal,
        refuse_twins: bool,
        messages: Messages,
    ) -> list[Activity]:
        owner, now = activities[0].user_id, activities[0].created_at
        self._refuse_answered(owner, original.request_key, now)
        for twin in await self.twins(owner, activities):
            if twin is not None and (refuse_twins or twin.matched_on is not MatchedOn.START):
                raise DuplicateActivity(twin.existing_id, twin.matched_on)
        added = await self._activities.add_all(activities, messages=messages)
        stated = {field.name: getattr(original, field.name) for field in fields(NewOriginal)}
        kept = Original(**stated, id=next(self._store.ids), user_id=owner, stored_at=now)
        self._store.originals[kept.id] = kept
        for activity, number in zip(activities, numbers, strict=True):
            self._store.readings[activity.id] = StoredReading(kept.id, number, details_of(activity))
        return added

    async def twins(self, owner: int, activities: Sequence[Activity]) -> list[Twin | None]:
        live = [one for one in self._store.activities.values() if one.user_id == owner and one.deleted_at is None]
        live.sort(key=lambda one: (one.activity_date, one.id))
        return [_twin(activity, live) for activity in activities]

    async def of_activity(self, activity_id: int, *, owner: int) -> Original | None:
        activity = await self._activities.get(activity_id)
        reading = self._store.readings.get(activity_id)
        if activity is None or reading is None or activity.user_id != owner:
            return None
        return self._store.originals[reading.original_id]

    async def of_request(self, owner: int, request_key: str, *, since: datetime) -> Original | None:
        return next(
            (
                one
                for one in self._store.originals.values()
                if (one.user_id, one.request_key) == (owner, request_key) and one.stored_at > since
            ),
            None,
        )

    async def after(self, original_id: int, *, owner: int | None = None, limit: int = 100) -> list[Original]:
        found = sorted(self._store.originals.items())
        return [one for id, one in found if id > original_id and owner in (None, one.user_id)][:limit]

    async def readings(self, original_id: int, *, live: bool) -> list[Reading]:
        found = [
            Reading(one.number, one.details, self._store.activities[activity_id])
            for activity_id, one in self._store.readings.items()
            if one.original_id == original_id
        ]
        kept = [one for one in found if not live or one.activity.deleted_at is None]
        return sorted(kept, key=lambda one: one.number)

    async def reading(self, activity_id: int) -> Reading | None:
        activity, one = await self._activities.get(activity_id), self._store.readings.get(activity_id)
        return None if activity is None or one is None else Reading(one.number, one.details, activity)

    async def update(self, activity: Activity, details: Details, *, messages: Messages) -> bool:
        changed = await self._activities.update(activity, messages=messages)
        if changed:
            await self.read_anew(activity.id, details)
        return changed

    async def read_anew(self, activity_id: int, details: Details) -> None:
        if activity_id in self._store.readings:
            self._store.readings[activity_id] = replace(self._store.readings[activity_id], details=details)

    def _refuse_answered(self, owner: int, request_key: str | None, now: datetime) -> None:
        if request_key is None:
            return
        for one in [*self._store.originals.values()]:
            if (one.user_id, one.request_key) == (owner, request_key):
                if one.stored_at > now - REQUEST_KEY_KEPT_FOR:
                    raise IdempotentRequestInFlight
                self._store.originals[one.id] = replace(one, request_key=None)


def _twin(activity: Activity, live: Sequence[Activity]) -> Twin | None:
    origin = activity.source, activity.external_id
    same = next((one.id for one in live if one.external_id and (one.source, one.external_id) == origin), None)
    if same is not None:
        return Twin(same, MatchedOn.FILE)
    return next((Twin(one.id, MatchedOn.START) for one in live if same_recording(one, activity)), None)
