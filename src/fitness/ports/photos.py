"""Where it is kept which photos an activity has. Their bytes are in the object store."""

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
    """The state of its activity."""


class PhotoRepoPort(Protocol):
    """Every method is one transaction. It raises DatabaseUnavailable when there is no answer.

    Changes are made of live activities alone; a purged activity has no photos any more. The objects of a photo that is
    gone are released: see ObjectNamesPort. The positions of an activity's photos are 1, 2, 3 … without a gap. A
    change's `messages` are written with it, and only if there is a change.
    """

    async def add(self, photo: NewPhoto, *, messages: Messages) -> Photo | None:
        """Behind the activity's other photos; None unless the user has this activity, live. Raises TooManyPhotos,
        also where many are added at the same time.
        """

    async def list(self, activity_id: int) -> Photos | None:
        """None unless there is this activity, live, whoever's it is."""

    async def find(self, photo_id: int, *, owner: int) -> FoundPhoto | None:
        """One of the owner's photos, also of an activity in the trash."""

    async def after(self, photo_id: int, *, owner: int, limit: int = 100) -> Sequence[Photo]:
        """The owner's photos with a higher id, by id; of activities in the trash, too."""

    async def change(
        self, photo_id: int, changes: PhotoChanges, *, owner: int, seen: Photo | None = None, messages: Messages
    ) -> Photo | None:
        """As it is then; None unless it is a photo of one of the owner's live activities, and still as it was `seen`.
        At another position, it moves those in between by one.
        """

    async def remove(
        self, photo_id: int, *, owner: int, at: datetime, seen: Photo | None = None, messages: Messages
    ) -> bool:
        """The photos behind it move up, and the owner's exports, which may hold it, expire at that time. False unless
        it is a photo of one of the owner's live activities, and still as it was `seen`.
        """
