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

    So an object may be deleted at any time after that was decided: nobody can have stored it again meanwhile. Two equal
    files are two objects, each with an owner of its own.

    An object is stored before the row that names it is committed, and deleted after that row is gone. An object that no
    row names an hour later belongs to nobody.

    Every method raises ObjectsUnavailable when the store does not answer.
    """

    async def put(self, content: bytes) -> str:
        """Store an object, in full or not at all, and return its new name. From then on the object outlives a crash."""

    async def get(self, name: str) -> bytes:
        """The whole object. Raises ObjectMissing."""

    def chunks(self, name: str, *, first: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The object piece by piece: `length` bytes from byte `first` on, or all of them up to its end.

        The first step of the iteration raises ObjectMissing.
        """

    async def delete(self, name: str) -> None:
        """Delete the object; nothing happens if it does not exist."""

    def list(self) -> AsyncIterator[Sequence[StoredObject]]:
        """All objects, some at a time, including those that a process left when it was killed within `put`."""


class ObjectNamesPort(Protocol):
    """The names of objects that rows hold. Every method raises DatabaseUnavailable."""

    async def named(self, names: Sequence[str]) -> frozenset[str]:
        """Those of the names that a row holds."""

    async def released(self, *, limit: int = 100, but: Collection[str] = ()) -> Sequence[str]:
        """Names of objects whose rows were deleted for good, the earliest first, without those in `but`. A name is
        returned until it is forgotten.
        """

    async def forget(self, names: Sequence[str]) -> None:
        """Forget released names, because their objects have been deleted."""
