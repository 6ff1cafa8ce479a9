"""What happened to a person's activities, in order."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from fitness.domain.model.activities import Activity

CHANGES_KEPT_FOR = timedelta(days=90)


class ChangeKind(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    TRASHED = "trashed"
    RESTORED = "restored"
    PURGED = "purged"


@dataclass(frozen=True, slots=True)
class Change:
    seq: int
    """The change's number among those of its owner: from 1, without gaps, in the order in which they were committed."""
    kind: ChangeKind
    activity_id: int
    version: int
    """The activity's version after the change; the last version of a purged activity."""
    at: datetime
    activity: Activity | None
    """The activity as it is now, perhaps after later changes; None while it is in the trash, and once it is purged."""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Some changes of one owner, in order; `last_seq` is the number of the owner's latest change, 0 without any."""

    changes: tuple[Change, ...]
    last_seq: int
    trimmed_seq: int = 0
    """Changes up to this number are not kept any more."""
