"""How recorded files are read."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fitness.domain.model.recordings import ReadRecording


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What a file is recognized by, whether it was uploaded packed or not."""

    digest: str
    """SHA-256 of the unpacked file, in hexadecimal digits."""
    size_bytes: int
    """The size of the unpacked file."""


class RecordingReaderPort(Protocol):
    """Makes activities of a device's file. Whatever the file holds, the work takes bounded time and memory, and does
    not hold up the event loop. A method that is cancelled stops working at once.

    `identify` and `read` raise ReaderUnavailable, and RecordingCorrupt for a file that takes too much time or memory.
    """

    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]:
        """A turn to read one file. It begins when no other file of this user is being read. Raises Overloaded if too
        many wait, of this user or of all.
        """

    async def identify(self, data: bytes) -> FileIdentity:
        """The identity of the file in `data`, which may be gzipped.

        Raises RecordingEmpty, RecordingTooLarge, RecordingCorrupt.
        """

    async def read(self, data: bytes, identity: FileIdentity, *, home_timezone: str, now: datetime) -> ReadRecording:
        """The checked activities in the file of that identity, 1 to MAX_ACTIVITIES, and what was left out of it.

        Raises a RecordingRefused that says why there are no activities, InvalidFields if the device recorded impossible
        values, and Overloaded if the file takes long to read and too many such files wait.
        """
