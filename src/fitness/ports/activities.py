"""Where activities are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from fitness.domain.model.activities import Activity, ActivityDates, ActivityState
from fitness.domain.model.listings import ActivityFilter, Listing, Page
from fitness.domain.model.versions import ANY_VERSION, Versions
from fitness.ports.messages import Messages

KEPT_FOR = timedelta(hours=24)
"""How long an idempotency key is remembered, counted from its activity's `created_at`."""


@dataclass(frozen=True, slots=True)
class Created:
    """`replayed` means that an earlier request with the same key created the activity, which is as it was then."""

    activity: Activity
    replayed: bool = False


class ActivityRepoPort(Protocol):
    """The kept activities. Every method is one transaction, and raises DatabaseUnavailable when there is no answer.

    A method that changes something does so in full or not at all, and its result says whether it did. The change's
    `messages` are written in the same transaction, and only if there is a change.
    """

    async def new_ids(self, count: int) -> Sequence[int]:
        """Ids that no activity has or had, for activities that are still to be added; each is given once."""

    async def add(self, activity: Activity, *, messages: Messages) -> Created:
        """Store it under its id, or under a new id if its id is 0. With an idempotency key, at most once in 24 hours.

        Raises UserNotFound when its user does not exist, DuplicateActivity when a live activity of the user has its
        source and external id, IdempotencyKeyReused when the key came with another fingerprint before, and
        IdempotentRequestInFlight while the key's first request runs.
        """

    async def add_all(self, activities: Sequence[Activity], *, messages: Messages) -> list[Activity]:
        """Store all activities as `add` does, in their order, or none of them. There must be at least one.

        After DatabaseUnavailable none of them is stored later, unless the database stopped answering during the commit.

        Raises UserNotFound, and DuplicateActivity when one of them has the origin of a live activity, or of another one
        in `activities`.
        """

    async def get(self, activity_id: int) -> Activity | None:
        """The live activity with this id, whoever owns it."""

    async def state(self, activity_id: int, *, owner: int | None = None) -> ActivityState | None:
        """Whether it is live or trashed; None when it does not exist, or when `owner` is given and does not own it."""

    async def trashed_at(self, activity_id: int, *, owner: int) -> datetime | None:
        """When it went into the owner's trash; None if it is not there."""

    async def owner(self, activity_id: int) -> int | None:
        """The id of the user who owns it, live or trashed. The owner of an activity never changes."""

    async def live_id(self, owner: int, *, source: str, external_id: str) -> int | None:
        """The id of the owner's live activity with that origin."""

    async def list(self, owner: int, which: ActivityFilter, page: Page) -> Listing[Activity]:
        """Live activities in the order of `which.sort`, ties by id in its direction, unknown values last.

        Like every list, it is counted only if the page asks for that, and only up to MAX_COUNTED.
        """

    async def update(self, activity: Activity, *, messages: Messages) -> bool:
        """Replace the live activity of the same id and owner, if its version is the one right before."""

    async def soft_delete(
        self, activity_id: int, *, owner: int, at: datetime, messages: Messages, versions: Versions = ANY_VERSION
    ) -> bool:
        """Move it into the trash, if it is the owner's, live and at one of those versions."""

    async def trash(self, owner: int, page: Page) -> Listing[Activity]:
        """The owner's deleted activities, latest `deleted_at` first, ties by id descending."""

    async def dates(self, owner: int, page: Page, state: ActivityState | None) -> Listing[ActivityDates]:
        """The owner's activities in that state, or in any state: latest `created_at` first, ties by id descending."""

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
        """Move it out of the owner's trash. None if it is not there at one of those versions, or, where `trashed_after`
        is given, was not put there after that time. Raises DuplicateActivity."""

    async def purge(self, activity_id: int, *, messages: Messages) -> bool:
        """Delete a trashed activity for good, with all that belongs to it; the messages carry the authority.

        False, and nothing is written, if it was not in the trash.
        """
