"""Deletion for good of what is past its time, some at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fitness.ports.messages import Messages


@dataclass(frozen=True, slots=True)
class Doomed:
    """An activity that is to be deleted for good."""

    id: int
    owner_id: int


@dataclass(frozen=True, slots=True)
class Departed:
    """A deleted account that is to be erased."""

    id: int
    email: str | None
    """The account's address; None if another account has it by now."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """What should be gone by now: how many, at most MOST_COUNTED, and for how many seconds the oldest is overdue."""

    activities: int
    activities_s: float
    accounts: int
    accounts_s: float


MOST_COUNTED = 10_000


class UpkeepRepoPort(Protocol):
    """Every method is one transaction, waits for no other transaction, and raises DatabaseUnavailable.

    A method that deletes checks again, in its transaction, that what it is given is still past its time. It leaves rows
    that another transaction has locked to the next round. Its `messages` are written only if something is deleted; they
    carry the authority, and the audit log has an entry for each activity and account.
    """

    async def expired(self, *, before: datetime, most: int) -> Sequence[Doomed]:
        """Activities that have been in anybody's trash since `before` or longer, the longest first."""

    async def purge_expired(self, ids: Sequence[int], *, before: datetime, messages: Messages) -> Sequence[int]:
        """Delete for good those of the activities that have been in the trash since `before` or longer. Returns their
        ids.
        """

    async def departed(self, *, before: datetime, most: int) -> Sequence[Departed]:
        """Accounts that have been deleted since `before` or longer, the longest first."""

    async def activities_of(self, user_id: int, *, most: int) -> Sequence[int]:
        """Ids of the user's activities, live or trashed."""

    async def purge_of_departed(self, ids: Sequence[int], *, before: datetime, messages: Messages) -> Sequence[int]:
        """Delete for good those activities whose owner's account has been deleted since `before` or longer. Returns
        their ids.
        """

    async def erase(self, user_id: int, *, before: datetime, messages: Messages) -> bool:
        """Delete the account with all that belongs to it, if it has been deleted since `before` or longer.

        False, and nothing is written, if it was not, or has activities left.
        """

    async def forget_keys(self, *, before: datetime, most: int) -> int:
        """Delete up to `most` idempotency keys from before that time. Returns how many."""

    async def overdue(self, *, trashed: datetime, departed: datetime) -> Overdue:
        """Activities that have been in the trash since `trashed` or longer, and accounts deleted by `departed`."""
