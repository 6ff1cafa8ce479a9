"""A reader that is given the results for some pictures in advance."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from fitness.domain.model.file_refusals import PictureEmpty, PictureUnknown
from fitness.domain.model.photos import Picture
from fitness.foundation.turns import Turns
from fitness.ports.outages import Overloaded


class InMemoryPictureReader:
    def __init__(self, known: Mapping[bytes, Picture], *, most_of_a_user: int = 8) -> None:
        self._known = known
        self._turns = Turns(most=4 * most_of_a_user, most_each=most_of_a_user, full=_too_many)

    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]:
        return self._turns.of(user_id)

    async def read(self, data: bytes) -> Picture:
        if not data:
            raise PictureEmpty
        if data not in self._known:
            raise PictureUnknown
        return self._known[data]


def _too_many() -> Overloaded:
    return Overloaded("too many pictures wait to be read")
