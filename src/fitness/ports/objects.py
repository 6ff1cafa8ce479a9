"""Where the bytes of files are kept: recordings as they were uploaded, and pictures."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class ObjectMissing(Exception):
    """There is no object of that name."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    name: str
    size_bytes: int
    stored_at: datetime


class ObjectStorePort(Protocol):
    """Bytes under names. A name begins with the SHA-256 of its object, and is given only once.

    So whoever decides to delete an object may do it at any later time: nobody can have stored it anew meanwhile. Two
    files that are the same are two objects, each with an owner of its own.

    An object is stored before the row that names it is committed, and deleted after that row is gone. What no row
    names an hour later belongs to nobody.

    Every method raises ObjectsUnavailable when the store does not answer.
    """

    async def put(self, content: bytes) -> str:
        """Store it under a new name, in full or not at all. Once this returns the object outlives a crash."""

    async def get(self, name: str) -> bytes:
        """The whole object. Raises ObjectMissing."""

    def chunks(self, name: str, *, first: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The object piece by piece: `length` bytes from byte `first` on, or all of them up to its end.

        The first step raises ObjectMissing.
        """

    async def delete(self, name: str) -> None:
        """Nothing happens where there is no such object."""

    def list(self) -> AsyncIterator[Sequence[StoredObject]]:
        """All objects, some at a time, also what a process left that was killed within `put`."""


class ObjectNamesPort(Protocol):
    """The names of objects that rows hold. Every method raises DatabaseUnavailable."""

    async def named(self, names: Sequence[str]) -> frozenset[str]:
        """Those of them that a row holds."""

    async def released(self, *, limit: int = 100, but: Collection[str] = ()) -> Sequence[str]:
        """Objects whose rows were deleted for good, the earliest first, without those named in `but`. They stay here
        until they are forgotten.
        """

    async def forget(self, names: Sequence[str]) -> None:
        """The objects of these names are deleted."""
