"""Uploaded pictures read."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from fitness.domain.model.photos import Picture


class PictureReaderPort(Protocol):
    """Makes renditions of a picture. Whatever is in the file, that takes bounded time and memory, and the event loop is
    not held up.
    """

    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]:
        """Begins when no picture of this user is read any more. Raises Overloaded where too many wait, of this user or
        of all.
        """

    async def read(self, data: bytes) -> Picture:
        """The picture in both sizes, upright, in sRGB; of several pictures or frames the first one.

        Nothing else of the file is in them: no camera data, position, comment, profile or trailing bytes. The same file
        makes the same bytes. Cancelled, it stops working at once.

        Raises a PictureRefused, or ReaderUnavailable where the reading was cut off.
        """
