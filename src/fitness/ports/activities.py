"""Where activities are kept."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from fitness.domain.model.activities import Activity, ActivityState
from fitness.domain.model.audit import Authority
from fitness.domain.model.listings import ActivityFilter, Listing, Page
from fitness.ports.cache import Owed

KEPT_FOR = timedelta(hours=24)
"""How long an idempotency key is remembered, from its activity's `created_at` on."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's name for one request, and a digest of that request's body."""

    value: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Created:
    """`replayed` when the activity was created by an earlier request with the same key, and is as it was then."""

    activity: Activity
    replayed: bool = False


class ActivityRepoPort(Protocol):
    """The truth about activities. Every method is one transaction and raises DatabaseUnavailable when it cannot tell.

    A method that changes something does so in full or not at all, and says by its result whether it did. What the
    cache is `owed` for a change is written in the same transaction, and only if there is a change.
    """

    async def add(self, activity: Activity, *, owed: Owed, idempotency: IdempotencyKey | None = None) -> Created:
        """Keep it under a new id. With a key, at most once in 24 hours.

        Raises UserNotFound when nobody of its user's id is known, DuplicateActivity when a living one of the user
        has its source and external id, IdempotencyKeyReused
        when the key came with another fingerprint, IdempotentRequestInFlight while the key's first request runs.
        """

    async def add_all(self, activities: Sequence[Activity], *, owed: Owed) -> list[Activity]:
        """Keep them all under new ids, in their order, or none. Raises UserNotFound, DuplicateActivity."""

    async def get(self, activity_id: int) -> Activity | None:
        """A live activity, whoever's it is."""

    async def state(self, activity_id: int, *, owner: int | None = None) -> ActivityState | None:
        """Where it stands; None when it does not exist, or is not the `owner`'s where one is named."""

    async def owner(self, activity_id: int) -> int | None:
        """Whose it is, live or trashed; that never changes."""

    async def living_id(self, owner: int, *, source: str, external_id: str) -> int | None:
        """The owner's live activity of that origin."""

    async def list(self, owner: int, which: ActivityFilter, page: Page) -> Listing[Activity]:
        """Live activities, newest `activity_date` first, ties by id descending."""

    async def update(self, activity: Activity, *, owed: Owed) -> bool:
        """Store it over the live one of the same id and owner, if that has the version right before."""

    async def soft_delete(
        self, activity_id: int, *, owner: int, at: datetime, owed: Owed, versions: Collection[int] | None = None
    ) -> bool:
        """Into the trash, if it is the owner's, live and (where they are named) at one of those versions."""

    async def trash(self, owner: int, page: Page) -> Listing[Activity]:
        """The owner's deleted activities, latest `deleted_at` first, ties by id descending."""

    async def restore(self, activity_id: int, *, owner: int, at: datetime, owed: Owed) -> Activity | None:
        """Out of the owner's trash; None if it was not there. Raises DuplicateActivity."""

    async def purge(self, activity_id: int, authority: Authority, *, owed: Owed) -> bool:
        """Out of the trash for good, with all that hangs on it, and into the audit log.

        False, and nothing written, if it was not in the trash.
        """
