"""The tags of a person's activities, all at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from fitness.domain.model.tags import TagCount
from fitness.ports.messages import Messages


class TagRepoPort(Protocol):
    """Every method is one transaction, and raises DatabaseUnavailable when there is no answer."""

    async def list(self, owner: int) -> Sequence[TagCount]:
        """The tags of the owner's live activities: the most used first, ties by name; at most MOST_LISTED."""

    async def tagged(self, owner: int, tag: str, *, most: int) -> Sequence[int]:
        """Ids of the owner's activities with that tag, live or in the trash; at most `most`."""

    async def replace(
        self, owner: int, tag: str, *, instead: str | None, ids: Sequence[int], at: datetime, messages: Messages
    ) -> int:
        """Replace the tag by `instead`, or remove it if that is None, in those of the owner's activities with these ids
        that have the tag.

        Returns how many activities changed. Each of them then has another version, and no tag twice.
        """
