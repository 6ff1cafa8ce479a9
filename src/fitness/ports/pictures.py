"""How uploaded pictures are read."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from fitness.domain.model.photos import Picture


class PictureReaderPort(Protocol):
    """Makes renditions of a picture. Whatever the file holds, the work takes bounded time and memory, and does not hold
    up the event loop.
    """

    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]:
        """A turn to read one picture. It begins when no other picture of this user is being read. Raises Overloaded if
        too many wait, of this user or of all.
        """

    async def read(self, data: bytes) -> Picture:
        """The picture in both sizes, upright, in sRGB; of several pictures or frames the first one.

        The result holds nothing else of the file: no camera data, position, comment, profile or trailing bytes. The
        same file makes the same bytes. If cancelled, this stops working at once.

        Raises a PictureRefused, or ReaderUnavailable if the reading was cut off.
        """
