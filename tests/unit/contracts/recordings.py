"""What every RecordingReaderPort promises."""

import gzip
from functools import cache

import pytest

from fitness.domain.model.recordings import MAX_RECORDING_BYTES
from fitness.domain.model.refusals import (
    RecordingCorrupt,
    RecordingEmpty,
    RecordingTooLarge,
    RecordingUnknown,
)
from fitness.ports.recordings import RecordingReaderPort
from tests.files import A_TRACK


@cache
def a_bomb() -> bytes:
    """Four times what a file may hold, packed. Made once a run, since that takes a moment."""
    return gzip.compress(b"\0" * (4 * MAX_RECORDING_BYTES), compresslevel=1)


class RecordingReaderContract:
    """An implementation's class gives the fixture `reader`, which reads at least A_TRACK."""

    async def test_a_file_is_itself_with_or_without_gzip(self, reader: RecordingReaderPort):
        assert await reader.unpack(A_TRACK) == A_TRACK
        assert await reader.unpack(gzip.compress(A_TRACK)) == A_TRACK

    async def test_files_joined_end_to_end_are_one(self, reader: RecordingReaderPort):
        joined = gzip.compress(A_TRACK[:500]) + gzip.compress(A_TRACK[500:]) + b"\0\0"
        assert await reader.unpack(joined) == A_TRACK

    @pytest.mark.parametrize("data", [b"", b"\0\0\0\0", b" \r\n", gzip.compress(b"")])
    async def test_an_empty_file_is_called_so(self, reader: RecordingReaderPort, data: bytes):
        with pytest.raises(RecordingEmpty):
            await reader.unpack(data)

    async def test_a_file_past_the_limit_is_called_too_large(self, reader: RecordingReaderPort):
        just_fits = b"x" * MAX_RECORDING_BYTES
        assert await reader.unpack(just_fits) == just_fits
        with pytest.raises(RecordingTooLarge):
            await reader.unpack(just_fits + b"x")

    async def test_a_small_file_that_unpacks_past_the_limit_is_called_too_large(self, reader: RecordingReaderPort):
        assert len(a_bomb()) < 10_000_000
        with pytest.raises(RecordingTooLarge):
            await reader.unpack(a_bomb())

    async def test_broken_gzip_is_called_corrupt(self, reader: RecordingReaderPort):
        packed = gzip.compress(A_TRACK)
        for broken in (packed[:-9], packed[:20], packed[:30] + b"\0\0\0" + packed[33:], b"\x1f\x8b"):
            with pytest.raises(RecordingCorrupt):
                await reader.unpack(broken)

    async def test_a_known_file_is_read(self, reader: RecordingReaderPort):
        (recording,) = await reader.read(A_TRACK)
        assert recording.title == "Morning loop"
        assert recording.duration_s == 600

    async def test_a_file_of_no_known_kind_is_called_so(self, reader: RecordingReaderPort):
        with pytest.raises(RecordingUnknown):
            await reader.read(b"%PDF-1.7 certainly no activity")
