"""What people do with the photos of their activities: add, look at, describe, order and delete them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from fitness.domain.model.activities import ActivityState
from fitness.domain.model.file_refusals import PhotoMismatch, PhotoNotFound, PictureTooLarge, TooManyPhotos
from fitness.domain.model.photos import (
    MAX_PHOTO_BYTES,
    MAX_PHOTOS,
    NewPhoto,
    Photo,
    PhotoChanges,
    PhotoFile,
    Photos,
    Picture,
    Rendition,
    checked_caption,
    checked_changes,
    stored,
)
from fitness.domain.model.refusals import ActivityNotFound
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import activity_scope, photos_key
from fitness.domain.use_cases.caching.reads import CachedReads, Copy
from fitness.ports.clock import ClockPort
from fitness.ports.objects import ObjectMissing, ObjectStorePort
from fitness.ports.photos import PhotoRepoPort
from fitness.ports.pictures import PictureReaderPort

_log = logging.getLogger(__name__)

R = TypeVar("R")

Meant = Callable[[Photo], bool]
"""Whether the photo is in a state that the requester means to change."""


@dataclass(frozen=True, slots=True)
class PhotoService:
    """A photo is hidden while its activity is in the trash, and gone when that is purged.

    Somebody else's photo is treated as one that does not exist.
    """

    repo: PhotoRepoPort
    objects: ObjectStorePort
    pictures: PictureReaderPort
    activities: ActivityService
    cached: CachedReads
    changes: Changes
    clock: ClockPort

    async def add(self, activity_id: int, data: bytes, *, caption: str | None = None, by: Caller) -> Photo:
        """Make a photo of an uploaded picture, after the activity's others. One picture of a user at a time.

        If cancelled while the picture waits or is read, this ends at once and keeps nothing. After that it runs to its
        end.

        Raises InvalidFields, ActivityNotFound, ActivityInTrash, ActivityExpired, TooManyPhotos, a PictureRefused,
        Overloaded, ReaderUnavailable, ObjectsUnavailable.
        """
        caption = checked_caption(caption)
        if len(data) > MAX_PHOTO_BYTES:
            raise PictureTooLarge(MAX_PHOTO_BYTES)
        there = await self.list(activity_id, by=by)
        if len(there.value.items) >= MAX_PHOTOS:  # checked again when the photo is stored; here it saves the work
            raise TooManyPhotos(MAX_PHOTOS)
        async with self.pictures.turn(by.id):
            picture = await self.pictures.read(data)
        keeping = asyncio.ensure_future(self._keep(picture, activity_id, caption, by))
        keeping.add_done_callback(lambda kept: kept.cancelled() or kept.exception())  # if nobody awaits it any more
        return await asyncio.shield(keeping)

    async def list(self, activity_id: int, *, by: Caller) -> Copy[Photos]:
        """The activity's photos by position. Raises ActivityNotFound, ActivityInTrash, ActivityExpired."""

        async def load() -> Photos:
            found = await self.repo.list(activity_id)
            if found is None:
                raise ActivityNotFound(activity_id)
            return found

        while True:  # ends: each further round means that somebody restored the activity between two looks
            try:
                copy = await self.cached.read_through(photos_key(activity_id), load)
            except ActivityNotFound:
                await self.activities.get(activity_id, by=by)  # says why it is not there
                continue
            if copy.value.user_id != by.id:
                raise ActivityNotFound(activity_id)
            return copy

    async def get(self, photo_id: int, *, by: Caller) -> Photo:
        """Raises PhotoNotFound, ActivityInTrash, ActivityExpired."""
        while True:  # ends: each further round means that somebody restored or purged the activity between two looks
            found = await self.repo.find(photo_id, owner=by.id)
            if found is None:
                raise PhotoNotFound(photo_id)
            if found.of is ActivityState.LIVE:
                return found.photo
            with suppress(ActivityNotFound):  # it was purged meanwhile, and the photo with it
                await self.activities.get(found.photo.activity_id, by=by)  # says why it is not there

    async def content(self, photo: Photo, file: PhotoFile, *, by: Caller) -> bytes:
        """The content of one of the photo's files. Raises PhotoNotFound if the photo was deleted meanwhile or the
        object is lost, ActivityInTrash, ActivityExpired, ObjectsUnavailable.
        """
        try:
            return await self.objects.get(file.object_name)
        except ObjectMissing as error:
            await self.get(photo.id, by=by)
            _log.error("object %s of photo %s is missing", file.object_name, photo.id)
            raise PhotoNotFound(photo.id) from error

    async def change(self, photo_id: int, changes: PhotoChanges, *, by: Caller, meant: Meant | None = None) -> Photo:
        """Change the photo's caption, or its place among the others, if the photo is a `meant` one.

        Raises InvalidFields, PhotoNotFound, PhotoMismatch, ActivityInTrash, ActivityExpired.
        """
        changes = checked_changes(changes)
        change = partial(self.repo.change, photo_id, changes, owner=by.id)
        return await self._until_done(photo_id, change, by, meant)

    async def delete(self, photo_id: int, *, by: Caller, meant: Meant | None = None) -> None:
        """Delete the photo for good, if it is a `meant` one. Its objects in the object store are deleted later.

        Raises PhotoNotFound, PhotoMismatch, ActivityInTrash, ActivityExpired.
        """
        remove = partial(self.repo.remove, photo_id, owner=by.id, at=self.clock.now())
        await self._until_done(photo_id, remove, by, meant)

    async def _keep(self, picture: Picture, activity_id: int, caption: str | None, by: Caller) -> Photo:
        """Store the objects first, so that every object that a row names exists. Objects without a row are swept."""
        new = NewPhoto(
            activity_id=activity_id,
            user_id=by.id,
            caption=caption,
            created_at=self.clock.now(),
            large=await self._stored(picture.large),
            small=await self._stored(picture.small),
        )
        add = partial(self.repo.add, new)
        while True:  # ends: each further round means that somebody restored the activity between two looks
            photo = await self.changes.make([activity_scope(activity_id)], add, changed=lambda kept: kept is not None)
            if photo is not None:
                return photo
            await self.activities.get(activity_id, by=by)

    async def _stored(self, rendition: Rendition) -> PhotoFile:
        return stored(rendition, await self.objects.put(rendition.content))

    async def _until_done(
        self, photo_id: int, write: Callable[..., Awaitable[R | None]], by: Caller, meant: Meant | None
    ) -> R:
        """Try `write`, which takes the photo as it was `seen`, until it has changed something.

        This ends: each further round means that somebody restored the activity, or changed the photo, between two
        looks.
        """
        while True:
            photo = await self.get(photo_id, by=by)
            if meant is not None and not meant(photo):
                raise PhotoMismatch(photo_id)
            seen = None if meant is None else photo
            done = await self.changes.make([activity_scope(photo.activity_id)], partial(write, seen=seen))
            if done:
                return done
