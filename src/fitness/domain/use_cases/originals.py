"""Files as they were uploaded: given back to their owners, and deleted when no row names them any more."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fitness.domain.model.objects import UNNAMED_FOR
from fitness.domain.model.originals import Original
from fitness.domain.model.refusals import RecordingNotFound
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.activities import ActivityService
from fitness.ports.clock import ClockPort
from fitness.ports.objects import ObjectMissing, ObjectNamesPort, ObjectStorePort
from fitness.ports.originals import OriginalRepoPort
from fitness.ports.outages import ObjectsUnavailable

FAILED_BEFORE_DOWN = 10
"""If this many objects cannot be deleted before any object is, the store is taken to be down."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OriginalService:
    """Somebody else's activity is treated as one that does not exist; an admin's request is no exception."""

    activities: ActivityService
    originals: OriginalRepoPort
    objects: ObjectStorePort

    async def original(self, activity_id: int, *, by: Caller) -> Original:
        """The file that the caller's activity was made of.

        Raises ActivityNotFound, ActivityInTrash, ActivityExpired, and RecordingNotFound if the activity was not made of
        a file.
        """
        original = await self.originals.of_activity(activity_id, owner=by.id)
        if original is None:
            await self.activities.get(activity_id, by=by)  # says why it is not there, if it is not
            raise RecordingNotFound(activity_id)
        return original

    async def content(self, original: Original, activity_id: int) -> AsyncIterator[bytes]:
        """The file, piece by piece. Raises RecordingNotFound if the file is lost, and ObjectsUnavailable."""
        chunks = self.objects.chunks(original.object_name)
        try:
            first = await anext(chunks, b"")
        except ObjectMissing as error:
            _log.error("the file of original %s is not in the store: %s", original.id, original.object_name)
            raise RecordingNotFound(activity_id) from error
        return _joined(first, chunks)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


@dataclass(frozen=True, slots=True)
class ObjectSweep:
    """Deletes stored objects that no row names. Runs that overlap do no harm: a name is never used twice."""

    objects: ObjectStorePort
    names: ObjectNamesPort
    clock: ClockPort

    async def delete_released(self) -> int:
        """Delete the objects whose rows were deleted for good. Returns how many.

        If the store does not delete an object, the others are deleted all the same, and ObjectsUnavailable is raised at
        the end, or at once if the store seems to be down.
        """
        deleted, failed = 0, dict[str, ObjectsUnavailable]()
        while names := await self.names.released(but=failed):  # ends: each is forgotten or has failed
            gone = []
            for name in names:
                try:
                    await self.objects.delete(name)
                    gone.append(name)
                except ObjectsUnavailable as error:
                    failed[name] = error
                    if len(failed) >= FAILED_BEFORE_DOWN and not deleted and not gone:
                        raise
            await self.names.forget(gone)
            deleted += len(gone)
        if failed:
            _log.error("the store does not delete %s", ", ".join(failed))
            raise next(iter(failed.values()))
        return deleted

    async def sweep(self) -> int:
        """Delete all objects that no row names, except those younger than UNNAMED_FOR: their rows may still come.

        Returns how many.
        """
        deleted = await self.delete_released()
        old = self.clock.now() - UNNAMED_FOR
        async for some in self.objects.list():
            names = [one.name for one in some if one.stored_at < old]
            named = await self.names.named(names) if names else frozenset()
            for name in names:
                if name not in named:
                    await self.objects.delete(name)
                    deleted += 1
        return deleted
