"""Which files were uploaded, and what was read of them; the files themselves are in the object store."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from fitness.domain.model.activities import Activity, Details
from fitness.domain.model.originals import NewOriginal, Original, Reading
from fitness.domain.model.twins import Twin
from fitness.ports.messages import Messages

REQUEST_KEY_KEPT_FOR = timedelta(hours=24)


class OriginalRepoPort(Protocol):
    """An original exists for as long as one of its activities does. Every method raises DatabaseUnavailable.

    When an activity is deleted for good, its reading is deleted with it, and the original with the last of its
    activities. `ObjectNamesPort.released` then returns the name of the original's object.
    """

    async def add(
        self,
        activities: Sequence[Activity],
        numbers: Sequence[int],
        *,
        original: NewOriginal,
        refuse_twins: bool,
        messages: Messages,
    ) -> list[Activity]:
        """Store new activities of one user, each with an id of its own, their places in the file, and the original.

        All of them or none, as ActivityRepoPort.add_all does. Imports of one user are carried out one after the other.

        Raises UserNotFound; DuplicateActivity when one of them has the origin of a live activity, or, where twins are
        refused, is the same recording as one; and IdempotentRequestInFlight when the owner has another original of
        the same `request_key` that is not older than REQUEST_KEY_KEPT_FOR: another request added it a moment ago.
        """

    async def twins(self, owner: int, activities: Sequence[Activity]) -> list[Twin | None]:
        """The twin of each activity: the owner's live activity of its origin, else the first live one that is the same
        recording, else None.
        """

    async def of_activity(self, activity_id: int, *, owner: int) -> Original | None:
        """The file of the owner's live activity."""

    async def of_request(self, owner: int, request_key: str, *, since: datetime) -> Original | None:
        """The owner's original of that key, if it was stored since then."""

    async def after(self, original_id: int, *, owner: int | None = None, limit: int = 100) -> list[Original]:
        """Originals with a higher id, the owner's or everybody's, by id."""

    async def readings(self, original_id: int, *, live: bool) -> list[Reading]:
        """The readings of its activities, of live ones alone or of all, by their places in the file."""

    async def reading(self, activity_id: int) -> Reading | None:
        """The reading of a live activity."""

    async def update(self, activity: Activity, details: Details, *, messages: Messages) -> bool:
        """As ActivityRepoPort.update; from then on the activity's reading has these `details`."""

    async def read_anew(self, activity_id: int, details: Details) -> None:
        """Replace the details in the activity's reading; the activity itself stays as it is."""
