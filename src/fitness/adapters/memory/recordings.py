"""A reader that is given the recordings of some files in advance."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from fitness.domain.model.file_refusals import RecordingUnknown
from fitness.domain.model.recordings import ReadRecording, RecordedFile, Recording, activities_of, digest_of, unpacked
from fitness.foundation.turns import Turns
from fitness.ports.outages import Overloaded
from fitness.ports.recordings import FileIdentity


class InMemoryRecordingReader:
    def __init__(self, known: Mapping[bytes, Sequence[Recording]], *, most_of_a_user: int = 16) -> None:
        self._known = known
        self._turns = Turns(most=4 * most_of_a_user, most_each=most_of_a_user, full=_too_many)

    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]:
        return self._turns.of(user_id)

    async def identify(self, data: bytes) -> FileIdentity:
        content = unpacked(data)
        return FileIdentity(digest_of(content), len(content))

    async def read(self, data: bytes, identity: FileIdentity, *, home_timezone: str, now: datetime) -> ReadRecording:
        content = unpacked(data)
        if content not in self._known:
            raise RecordingUnknown
        file = RecordedFile(tuple(self._known[content]))
        return activities_of(file, digest=identity.digest, home_timezone=home_timezone, now=now)


def _too_many() -> Overloaded:
    return Overloaded("too many files wait to be read")
