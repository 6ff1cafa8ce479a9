"""Recorded files read."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fitness.domain.model.recordings import ReadRecording


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What a file is known by, whether it came packed or not."""

    digest: str
    """SHA-256 of the unpacked file, in hexadecimal digits."""
    size_bytes: int
    """Unpacked."""


class RecordingReaderPort(Protocol):
    """Makes activities of a device's file. Whatever is in the file, that takes bounded time and memory, and the event
    loop is not held up. A method that is cancelled stops working at once.

    `identify` and `read` raise ReaderUnavailable, and RecordingCorrupt for a file that takes too much time or memory.
    """

    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]:
        """Begins when no file of this user is read any more. Raises Overloaded where too many wait, of this user or of
        all.
        """

    async def identify(self, data: bytes) -> FileIdentity:
        """Of the file in `data`, which may be gzipped. Raises RecordingEmpty, RecordingTooLarge, RecordingCorrupt."""

    async def read(self, data: bytes, identity: FileIdentity, *, home_timezone: str, now: datetime) -> ReadRecording:
        """The checked activities in the file of that identity, 1 to MAX_ACTIVITIES, and what was left out of it.

        Raises a RecordingRefused that says why there are none, InvalidFields where the device recorded impossible
        values, Overloaded where it takes long and too many such files wait.
        """
