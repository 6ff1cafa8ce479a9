"""The change log: what happened to people's activities. The changes themselves write it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from fitness.domain.model.changes import ChangePage


class ChangeLogPort(Protocol):
    """The log entry of every change is written with the change, under its owner's next number: the changes of one owner
    become visible in the order of their numbers. Every method is one transaction, and raises DatabaseUnavailable.
    """

    async def after(self, owner: int, seq: int, *, most: int) -> ChangePage:
        """The owner's first `most` changes after that number, each with its activity as it is at this moment."""

    async def last(self, owners: Iterable[int]) -> Mapping[int, int]:
        """The number of each owner's latest change; an owner without any change is left out."""

    async def trim(self, before: datetime, *, most: int) -> int:
        """Delete up to `most` changes from before that time, the oldest first. Returns how many; call it until 0."""

    async def forget(self, owner: int, *, most: int) -> int:
        """Delete up to `most` changes of an owner whose account is erased; with the last of them, the owner's counter.

        Returns how many; call it until it returns 0.
        """
