"""Recorded files read."""

from typing import Protocol

from fitness.domain.model.recordings import Recording


class RecordingReaderPort(Protocol):
    """Makes recordings of a device's file without holding up the event loop."""

    async def unpack(self, data: bytes) -> bytes:
        """The file itself, without any gzip around it. Raises RecordingEmpty, RecordingTooLarge, RecordingCorrupt."""

    async def read(self, content: bytes) -> list[Recording]:
        """The sessions in an unpacked file, in its order, at least one. Raises a RecordingRefused that says why not,
        ReaderUnavailable.
        """
