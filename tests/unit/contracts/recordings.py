"""What every RecordingReaderPort promises."""

import gzip
import hashlib
from datetime import datetime
from functools import cache

import pytest

from fitness.domain.model.activities import NewActivity
from fitness.domain.model.file_refusals import (
    RecordingCorrupt,
    RecordingEmpty,
    RecordingTooLarge,
    RecordingTooManyActivities,
    RecordingUnknown,
)
from fitness.domain.model.recordings import MAX_ACTIVITIES, MAX_RECORDING_BYTES, ReadRecording
from fitness.domain.model.refusals import InvalidFields
from fitness.ports.recordings import RecordingReaderPort
from tests.files import A_TRACK, MORNING, FitFile, gpx, track
from tests.unit.contracts.turns import TurnContract

TIMES = ("2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z")
MOST_TRACKS = gpx(*[track(*TIMES)] * MAX_ACTIVITIES)
TOO_MANY_TRACKS = gpx(*[track(*TIMES)] * (MAX_ACTIVITIES + 1))
ENDLESS = FitFile().session(timer_s=43_201 * 60, elapsed_s=43_201 * 60).content()


@cache
def a_bomb() -> bytes:
    """A packed file four times as large as allowed. It is made once a run, since that takes a moment."""
    return gzip.compress(b"\0" * (4 * MAX_RECORDING_BYTES), compresslevel=1)


async def read(reader: RecordingReaderPort, data: bytes, now: datetime = MORNING) -> tuple[NewActivity, ...]:
    return (await read_whole(reader, data, now)).activities


async def read_whole(reader: RecordingReaderPort, data: bytes, now: datetime = MORNING) -> ReadRecording:
    return await reader.read(data, await reader.identify(data), home_timezone="Europe/Paris", now=now)


class RecordingReaderContract(TurnContract):
    """An implementation's class gives the fixture `reader`, which reads at least the files named above."""

    async def test_a_file_is_the_same_with_or_without_gzip(self, reader: RecordingReaderPort):
        identity = await reader.identify(A_TRACK)
        assert identity == await reader.identify(gzip.compress(A_TRACK))
        assert identity.digest == hashlib.sha256(A_TRACK).hexdigest()
        assert identity.size_bytes == len(A_TRACK)
        assert await read(reader, A_TRACK) == await read(reader, gzip.compress(A_TRACK))

    async def test_files_joined_end_to_end_are_one(self, reader: RecordingReaderPort):
        joined = gzip.compress(A_TRACK[:500]) + gzip.compress(A_TRACK[500:]) + b"\0\0"
        assert await reader.identify(joined) == await reader.identify(A_TRACK)

    async def test_a_file_may_be_packed_in_very_small_parts(self, reader: RecordingReaderPort):
        joined = b"".join(gzip.compress(bytes([byte])) for byte in A_TRACK)
        assert await reader.identify(joined) == await reader.identify(A_TRACK)

    @pytest.mark.parametrize("data", [b"", b"\0\0\0\0", b" \r\n", gzip.compress(b"")])
    async def test_an_empty_file_is_called_so(self, reader: RecordingReaderPort, data: bytes):
        with pytest.raises(RecordingEmpty):
            await reader.identify(data)

    async def test_a_file_past_the_limit_is_called_too_large(self, reader: RecordingReaderPort):
        just_fits = b"x" * MAX_RECORDING_BYTES
        assert (await reader.identify(just_fits)).size_bytes == MAX_RECORDING_BYTES
        with pytest.raises(RecordingTooLarge):
            await reader.identify(just_fits + b"x")

    async def test_a_small_file_that_unpacks_past_the_limit_is_called_too_large(self, reader: RecordingReaderPort):
        assert len(a_bomb()) < 10_000_000
        with pytest.raises(RecordingTooLarge):
            await reader.identify(a_bomb())

    async def test_broken_gzip_is_called_corrupt(self, reader: RecordingReaderPort):
        packed = gzip.compress(A_TRACK)
        for broken in (packed[:-9], packed[:20], packed[:30] + b"\0\0\0" + packed[33:], b"\x1f\x8b", packed + b"\0x"):
            with pytest.raises(RecordingCorrupt):
                await reader.identify(broken)

    @pytest.mark.parametrize("part", [b"", b"x"])
    async def test_a_file_of_very_many_parts_is_called_corrupt(self, reader: RecordingReaderPort, part: bytes):
        with pytest.raises(RecordingCorrupt):
            await reader.identify(gzip.compress(part, mtime=0) * 1_000_000)

    async def test_a_known_file_is_read(self, reader: RecordingReaderPort):
        (activity,) = await read(reader, A_TRACK)
        assert (activity.title, activity.duration_minutes, activity.timezone) == (
            "Morning loop",
            10,
            "Europe/Ljubljana",
        )
        assert (activity.source, activity.external_id) == ("import", hashlib.sha256(A_TRACK).hexdigest())

    async def test_each_activity_of_a_file_has_an_origin_of_its_own(self, reader: RecordingReaderPort):
        found = await read(reader, MOST_TRACKS)
        assert len({one.external_id for one in found}) == len(found) == MAX_ACTIVITIES

    async def test_a_file_of_more_activities_than_may_be_is_refused(self, reader: RecordingReaderPort):
        with pytest.raises(RecordingTooManyActivities):
            await read(reader, TOO_MANY_TRACKS)

    async def test_impossible_values_are_named(self, reader: RecordingReaderPort):
        with pytest.raises(InvalidFields) as refusal:
            await read(reader, ENDLESS)
        assert [problem.field for problem in refusal.value.problems] == ["duration_minutes"]

    async def test_a_file_of_no_known_kind_is_called_so(self, reader: RecordingReaderPort):
        with pytest.raises(RecordingUnknown):
            await read(reader, b"%PDF-1.7 certainly no activity")
