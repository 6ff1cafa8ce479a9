"""Photos in a dictionary."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime

from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.activities import ActivityState
from fitness.domain.model.file_refusals import TooManyPhotos
from fitness.domain.model.photos import MAX_PHOTOS, NewPhoto, Photo, PhotoChanges, Photos
from fitness.ports.messages import Messages
from fitness.ports.photos import FoundPhoto


class InMemoryPhotoRepo:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def add(self, photo: NewPhoto, *, messages: Messages) -> Photo | None:
        if self._live_owner(photo.activity_id) != photo.user_id:
            return None
        others = self._of(photo.activity_id)
        if len(others) >= MAX_PHOTOS:
            raise TooManyPhotos(MAX_PHOTOS)
        stated = {field.name: getattr(photo, field.name) for field in fields(NewPhoto)}
        kept = Photo(**stated, id=next(self._store.ids), position=len(others) + 1)
        self._store.photos[kept.id] = kept
        self._store.write(messages)
        return kept

    async def list(self, activity_id: int) -> Photos | None:
        owner = self._live_owner(activity_id)
        return None if owner is None else Photos(owner, tuple(self._of(activity_id)))

    async def find(self, photo_id: int, *, owner: int) -> FoundPhoto | None:
        photo = self._store.photos.get(photo_id)
        if photo is None or photo.user_id != owner:
            return None
        live = self._live_owner(photo.activity_id) is not None
        return FoundPhoto(photo, ActivityState.LIVE if live else ActivityState.TRASHED)

    async def after(self, photo_id: int, *, owner: int, limit: int = 100) -> Sequence[Photo]:
        own = [one for one in self._store.photos.values() if one.user_id == owner and one.id > photo_id]
        return sorted(own, key=lambda one: one.id)[:limit]

    async def change(
        self, photo_id: int, changes: PhotoChanges, *, owner: int, seen: Photo | None = None, messages: Messages
    ) -> Photo | None:
        photo = self._changeable(photo_id, owner, seen)
        if photo is None:
            return None
        others = [one for one in self._of(photo.activity_id) if one.id != photo_id]
        changed = replace(photo, caption=changes.get("caption", photo.caption))
        others.insert(changes.get("position", photo.position) - 1, changed)
        self._keep_in_order(others)
        self._store.write(messages)
        return self._store.photos[photo_id]

    async def remove(
        self, photo_id: int, *, owner: int, at: datetime, seen: Photo | None = None, messages: Messages
    ) -> bool:
        photo = self._changeable(photo_id, owner, seen)
        if photo is None:
            return False
        self._store.delete_photo(photo)
        self._keep_in_order(self._of(photo.activity_id))
        self._store.end_exports(owner, at=at)
        self._store.write(messages)
        return True

    def _live_owner(self, activity_id: int) -> int | None:
        activity = self._store.activities.get(activity_id)
        return None if activity is None or activity.deleted_at is not None else activity.user_id

    def _changeable(self, photo_id: int, owner: int, seen: Photo | None) -> Photo | None:
        photo = self._store.photos.get(photo_id)
        if seen is not None and photo != seen:
            return None
        return photo if photo is not None and self._live_owner(photo.activity_id) == owner else None

    def _of(self, activity_id: int) -> Sequence[Photo]:
        found = [one for one in self._store.photos.values() if one.activity_id == activity_id]
        return sorted(found, key=lambda one: one.position)

    def _keep_in_order(self, photos: Sequence[Photo]) -> None:
        for position, photo in enumerate(photos, start=1):
            self._store.photos[photo.id] = replace(photo, position=position)
