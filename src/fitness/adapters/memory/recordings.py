"""A reader that knows some files by heart."""

from collections.abc import Mapping, Sequence

from fitness.domain.model.recordings import Recording, unpacked
from fitness.domain.model.refusals import RecordingUnknown


class InMemoryRecordingReader:
    def __init__(self, known: Mapping[bytes, Sequence[Recording]]) -> None:
        self._known = known

    async def unpack(self, data: bytes) -> bytes:
        return unpacked(data)

    async def read(self, content: bytes) -> list[Recording]:
        if content not in self._known:
            raise RecordingUnknown
        return list(self._known[content])
