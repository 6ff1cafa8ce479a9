"""Where the photos of activities are kept. Their bytes are in the object store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fitness.domain.model.activities import ActivityState
from fitness.domain.model.photos import NewPhoto, Photo, PhotoChanges, Photos
from fitness.ports.messages import Messages


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    photo: Photo
    of: ActivityState
    """The state of the photo's activity."""


class PhotoRepoPort(Protocol):
    """Every method is one transaction, and raises DatabaseUnavailable when there is no answer.

    Only photos of live activities can be changed; a purged activity has no photos any more. The objects of a deleted
    photo are released: see ObjectNamesPort. The positions of an activity's photos are 1, 2, 3 … without a gap. A
    change's `messages` are written with it, and only if there is a change.
    """

    async def add(self, photo: NewPhoto, *, messages: Messages) -> Photo | None:
        """Add a photo after the activity's other photos. None unless the user has this activity and it is live. Raises
        TooManyPhotos, even if many photos are added at the same time.
        """

    async def list(self, activity_id: int) -> Photos | None:
        """The photos of a live activity, whoever owns it; None if there is no such activity."""

    async def find(self, photo_id: int, *, owner: int) -> FoundPhoto | None:
        """One of the owner's photos, also of an activity in the trash."""

    async def after(self, photo_id: int, *, owner: int, limit: int = 100) -> Sequence[Photo]:
        """The owner's photos with a higher id, by id; of activities in the trash, too."""

    async def change(
        self, photo_id: int, changes: PhotoChanges, *, owner: int, seen: Photo | None = None, messages: Messages
    ) -> Photo | None:
        """The changed photo. None unless it is a photo of one of the owner's live activities, and still as it was
        `seen`. A new position moves the photos in between by one.
        """

    async def remove(
        self, photo_id: int, *, owner: int, at: datetime, seen: Photo | None = None, messages: Messages
    ) -> bool:
        """Delete the photo. The photos after it move up, and the owner's exports, which may hold it, expire at `at`.
        False unless it is a photo of one of the owner's live activities, and still as it was `seen`.
        """
