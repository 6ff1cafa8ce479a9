"""Recorded files: the reader under its port's contract, each format on small files and on real ones."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import gpxpy
import pytest

from fitness.adapters.files.fit_messages import fit_file
from fitness.adapters.files.formats import read_recordings
from fitness.adapters.files.reader import MOST_LONG, FileRecordingReader
from fitness.adapters.files.sports import activity_type, sport_named, sport_of_track
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.file_refusals import (
    RecordingCorrupt,
    RecordingRefused,
    RecordingUnknown,
    RecordingWithoutActivity,
    RecordingWithoutTimes,
)
from fitness.domain.model.recordings import MAX_ACTIVITIES, Recording, imported, unpacked
from fitness.domain.model.refusals import InvalidFields
from fitness.foundation.parent_death import die_with_parent
from fitness.ports.outages import Overloaded, ReaderUnavailable
from fitness.ports.recordings import RecordingReaderPort
from tests import hostile
from tests.files import A_TRACK, MORNING, FitFile, crc_by_bits, gpx, lap, tcx, tcx_activity, track
from tests.samples import SAMPLES
from tests.unit.contracts.recordings import RecordingReaderContract, read

REAL_FILES = Path(__file__).parents[3] / "shared" / "activities"


def only(content: bytes) -> Recording:
    (recording,) = found(content)
    return recording


def found(content: bytes) -> tuple[Recording, ...]:
    return read_recordings(content).recordings


@pytest.fixture(scope="module")
def reader() -> Iterator[RecordingReaderPort]:
    reader = FileRecordingReader(partial(die_with_parent, os.getpid()))
    yield reader
    reader.close()


class TestFileRecordingReader(RecordingReaderContract):
    """On the module's `reader`, whose processes take a moment to start."""

    @pytest.mark.parametrize(
        ("content", "refusal"),
        [
            (FitFile().session().content()[:-3], RecordingCorrupt),
            (FitFile().content(), RecordingWithoutActivity),
            (gpx(track(None, None)), RecordingWithoutTimes),
            (b"\0\x01rubbish", RecordingUnknown),
        ],
    )
    async def test_refusals_come_back_from_the_other_process_as_they_are(
        self, reader: RecordingReaderPort, content: bytes, refusal: type[RecordingRefused]
    ):
        with pytest.raises(refusal) as here:
            read_recordings(content)
        with pytest.raises(refusal) as there:
            await read(reader, content)
        assert str(there.value) == str(here.value)


def a_long_file() -> bytes:
    """Takes most of a second to read."""
    times = [f"2026-05-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z" for n in range(80_000)]
    return gpx(track(*times))


async def test_a_reading_that_was_killed_is_an_outage_and_the_next_one_works():
    with closing(FileRecordingReader(partial(die_with_parent, os.getpid()))) as reader:
        await read(reader, A_TRACK)
        identity = await reader.identify(long := a_long_file())
        reading = asyncio.ensure_future(reader.read(long, identity, home_timezone="UTC", now=MORNING))
        await asyncio.sleep(0)
        for pid in reader._long.pids():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ReaderUnavailable):
            await reading
        assert len(await read(reader, A_TRACK)) == 1


async def test_a_reading_that_is_cut_off_by_the_end_of_the_service_is_an_outage():
    reader = FileRecordingReader(partial(die_with_parent, os.getpid()))
    identity = await reader.identify(long := a_long_file())
    reading = asyncio.ensure_future(reader.read(long, identity, home_timezone="UTC", now=MORNING))
    await asyncio.sleep(0)
    reader.close()
    with pytest.raises(ReaderUnavailable):
        await reading


async def test_short_files_are_read_beside_those_that_take_long():
    """Also while more of those wait than there are processes; and not more wait than may."""
    with closing(FileRecordingReader(partial(die_with_parent, os.getpid()))) as reader:
        identity = await reader.identify(long := a_long_file())
        readings = [
            asyncio.ensure_future(reader.read(long, identity, home_timezone="UTC", now=MORNING))
            for _ in range(MOST_LONG + 1)
        ]
        await asyncio.sleep(0)
        assert len(await read(reader, A_TRACK)) == 1
        assert [reading.done() for reading in readings] == [False] * MOST_LONG + [True]
        with pytest.raises(Overloaded):
            await readings.pop()
        for reading in readings:
            reading.cancel()
        await asyncio.gather(*readings, return_exceptions=True)


class TestFit:
    def test_a_session_becomes_a_recording(self):
        recording = only(FitFile().sport("Run").session(distance_m=5012.5).content())
        assert recording == Recording(
            activity_type=ActivityType.RUN,
            started_at=MORNING,
            utc_offset=None,
            duration_s=1800,
            elapsed_s=1800,
            title="Run",
            distance_m=5012.5,
            elevation_gain_m=42,
            calories_kcal=300,
            average_heart_rate_bpm=140,
            max_heart_rate_bpm=171,
            event=0,
        )

    def test_each_session_of_a_triathlon_becomes_one_with_its_own_sport(self):
        file = FitFile().sport("Swim").session("swimming").session("transition").sport("Bike").session("cycling")
        parts = [(one.activity_type, one.title) for one in found(file.content())]
        expected = [
            (ActivityType.SWIM, "Swim"),
            (ActivityType.TRANSITION, "Transition"),
            (ActivityType.RIDE, "Bike"),
        ]
        assert parts == expected

    def test_timer_time_counts_even_above_elapsed_time_and_elapsed_time_stands_in(self):
        assert only(FitFile().session(timer_s=1808, elapsed_s=1807).content()).duration_s == 1808
        assert only(FitFile().session(timer_s=None, elapsed_s=1807).content()).duration_s == 1807

    def test_no_sensor_is_no_heart_rate_and_a_distance_of_0_is_measured(self):
        recording = only(FitFile().session(average_hr=0, highest_hr=0, distance_m=0).content())
        assert (recording.average_heart_rate_bpm, recording.max_heart_rate_bpm) == (None, None)
        assert recording.distance_m == 0

    @pytest.mark.parametrize("hours", [2, -7, 5.75, 14, -12])
    def test_the_watchs_clock_tells_the_offset(self, hours: float):
        offset = timedelta(hours=hours)
        file = FitFile().session().clock(offset + timedelta(seconds=3)).content()
        assert only(file).utc_offset == offset

    @pytest.mark.parametrize("offset", [None, timedelta(hours=15), timedelta(hours=-13), timedelta(days=400)])
    def test_a_clock_that_was_never_set_tells_no_offset(self, offset: timedelta | None):
        assert only(FitFile().session().clock(offset).content()).utc_offset is None

    @pytest.mark.parametrize(
        "file",
        [
            FitFile().session(start=None),
            FitFile().session(start=datetime(1989, 12, 31, tzinfo=UTC)),
            FitFile().session(timer_s=0, elapsed_s=0),
        ],
    )
    def test_a_session_without_times_is_called_so(self, file: FitFile):
        with pytest.raises(RecordingWithoutTimes):
            read_recordings(file.content())

    def test_a_session_of_no_length_is_left_out(self):
        parts = found(FitFile().session().session(timer_s=0, elapsed_s=0).session("cycling").content())
        assert [one.activity_type for one in parts] == [ActivityType.RUN, ActivityType.RIDE]

    @pytest.mark.parametrize("field", [5, 7, 9, 11, 16, 17, 22])
    @pytest.mark.parametrize("base_type", [0x07, 0x0D, 0x88, 0x89, 0x02])
    def test_a_field_defined_as_something_else_is_no_crash(self, field: int, base_type: int):
        content = FitFile().session(retyped={field: base_type}).content()
        try:
            recording = only(content)
        except RecordingRefused:
            return
        for value in (recording.distance_m, recording.elevation_gain_m, recording.duration_s):
            assert value is None or isinstance(value, int | float)
        assert recording.calories_kcal is None or isinstance(recording.calories_kcal, int)
        assert recording.title is None or isinstance(recording.title, str)

    def test_a_message_that_cannot_be_decoded_is_said_in_words_of_ours(self):
        field_of_an_unknown_developer = FitFile().message(206, [(0, 1, 0x02, 3), (1, 1, 0x02, 0)])
        with pytest.raises(RecordingCorrupt, match=r"^the file is damaged: one of its messages makes no sense$"):
            read_recordings(field_of_an_unknown_developer.session().content())

    @pytest.mark.parametrize("size", [0, 1, 2, 4_095, 4_096, 4_097, 32_766, 32_767, 32_768, 65_534, 65_535, 100_003])
    def test_the_checksum_of_any_length_is_that_of_one_bit_after_the_other(self, size: int):
        content = Random(size).randbytes(size)
        whole = fit_file(0x10, 2132, content)
        assert int.from_bytes(whole[-2:], "little") == crc_by_bits(whole[:-2])

    def test_damage_anywhere_is_noticed(self):
        content = FitFile().session().content()
        for place in range(14, len(content)):
            with pytest.raises(RecordingCorrupt):
                read_recordings(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])

    def test_a_file_that_is_cut_off_is_never_taken_for_a_whole_one(self):
        content = FitFile().session().content()
        whole = only(content)
        for end in range(14, len(content)):
            try:
                file = read_recordings(content[:end])
            except RecordingCorrupt:
                continue
            assert file.recovered
            assert file.recordings == (whole,)


class TestGpx:
    def test_a_track_becomes_a_recording(self):
        recording = only(A_TRACK)
        assert (recording.activity_type, recording.title) == (ActivityType.RUN, "Morning loop")
        assert (recording.started_at, recording.duration_s, recording.utc_offset) == (MORNING, 600, None)
        assert recording.distance_m == pytest.approx(222.4, abs=0.5)
        assert recording.elevation_gain_m is not None
        assert recording.average_heart_rate_bpm is None

    def test_heart_rates_of_the_extension_are_averaged(self):
        times = ("2026-05-01T06:00:00Z", "2026-05-01T06:05:00Z", "2026-05-01T06:10:00Z")
        recording = only(gpx(track(*times, heart_rates=(120, 0, 150))))
        assert (recording.average_heart_rate_bpm, recording.max_heart_rate_bpm) == (135, 150)

    def test_times_with_an_offset_tell_it(self):
        recording = only(gpx(track("2026-05-01T08:00:00+02:00", "2026-05-01T08:10:00+02:00")))
        assert recording.started_at == MORNING
        assert recording.utc_offset == timedelta(hours=2)

    def test_each_timed_track_becomes_one(self):
        timed = ("2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z")
        file = gpx(track(*timed, name="one"), track(None, None, name="planned"), track(*timed, name="two"))
        assert [one.title for one in found(file)] == ["one", "two"]

    @pytest.mark.parametrize(
        "times",
        [
            (None, None),
            (None, "2026-05-01T06:00:00Z"),
            ("2026-05-01T06:00:00Z", "2026-05-01T06:00:00Z"),
            ("2026-05-01T06:10:00Z", "2026-05-01T06:00:00Z"),
        ],
    )
    def test_a_track_whose_ends_tell_no_time_span_is_called_timeless(self, times: tuple[str | None, str | None]):
        with pytest.raises(RecordingWithoutTimes):
            read_recordings(gpx(track(*times)))

    def test_the_declared_encoding_counts(self):
        name = "Öztaler Höhenweg"
        utf8 = gpx(track("2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z", name=name))
        latin = utf8.decode().replace('encoding="UTF-8"', 'encoding="ISO-8859-1"').encode("latin-1")
        assert only(latin).title == only(utf8).title == name
        with pytest.raises(RecordingCorrupt):
            read_recordings(latin.replace(b"ISO-8859-1", b"no-such-set"))

    def test_a_file_without_tracks_holds_no_activity(self):
        with pytest.raises(RecordingWithoutActivity):
            read_recordings(gpx())
        with pytest.raises(RecordingWithoutActivity):
            read_recordings(gpx(track("2026-05-01T06:00:00Z")))

    @pytest.mark.parametrize(
        "content",
        [
            A_TRACK[:100],
            A_TRACK.replace(b"</name>", b"</nme>"),
            A_TRACK.replace(b"Morning", b"M\xffrning"),
            gpx(header='<!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'),
            gpx(header='<!DOCTYPE gpx SYSTEM "file:///etc/passwd">').replace(b"<gpx", b"<gpx "),
        ],
    )
    def test_damage_and_entities_are_refused(self, content: bytes):
        with pytest.raises((RecordingCorrupt, RecordingWithoutActivity)):
            read_recordings(content)


class TestGpxFigures:
    """Beside those of gpxpy, whose formula of distance this is."""

    @pytest.mark.parametrize("seed", range(20))
    def test_distance_and_times_are_those_of_gpxpy(self, seed: int):
        content = a_random_walk(Random(seed))
        expected = gpxpy.parse(content.decode()).tracks[0]
        walk = only(content)
        assert walk.distance_m == pytest.approx(expected.length_2d(), abs=1e-6)
        bounds = expected.get_time_bounds()
        assert bounds.start_time is not None
        assert bounds.end_time is not None
        assert walk.started_at == bounds.start_time
        assert walk.elapsed_s == (bounds.end_time - bounds.start_time).total_seconds()
        assert 0 < walk.duration_s <= walk.elapsed_s


def a_random_walk(random: Random) -> bytes:
    """In segments, with gaps, long ways between two points and points without elevation."""
    segments, second = [], 0
    latitude, longitude = random.uniform(-80, 80), random.uniform(-178, 178)
    for _ in range(random.randint(1, 4)):
        points = []
        for _ in range(random.randint(1, 60)):
            step = random.choice([0.0001, 0.001, 0.3])
            second += random.randint(1, 50) if step < 0.3 else 1_000
            latitude, longitude = latitude + random.uniform(-step, step), longitude + random.uniform(-step, step)
            height = f"<ele>{random.uniform(-50, 3_000):.2f}</ele>" if random.random() < 0.9 else ""
            time = (MORNING + timedelta(seconds=second)).isoformat()
            points.append(f'<trkpt lat="{latitude:.6f}" lon="{longitude:.6f}">{height}<time>{time}</time></trkpt>')
        segments.append(f"<trkseg>{''.join(points)}</trkseg>")
    return gpx(f"<trk>{''.join(segments)}</trk>")


class TestXml:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1"])
    @pytest.mark.parametrize("said", [True, False])
    def test_utf_8_utf_16_and_latin_1_are_read(self, encoding: str, said: bool):
        name = "Öztaler Höhenweg"
        whole = gpx(track("2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z", name=name)).decode()
        declared = {"utf-8-sig": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}.get(encoding, encoding)
        text = whole.replace('"UTF-8"', f'"{declared}"') if said else whole.partition("?>")[2].strip()
        if encoding == "iso-8859-1" and not said:
            with pytest.raises(RecordingCorrupt):
                read_recordings(text.encode(encoding))
        else:
            assert only(text.encode(encoding)).title == name

    @pytest.mark.parametrize("encoding", hostile.OTHER_ENCODINGS)
    def test_another_encoding_is_refused_by_its_name(self, encoding: str):
        with pytest.raises(RecordingCorrupt, match=f"encoding '{encoding}'"):
            read_recordings(hostile.declared(encoding).replace(hostile.ENTITY.encode(), b""))

    @pytest.mark.parametrize("encoding", hostile.KNOWN_ENCODINGS)
    def test_entities_are_refused_in_every_encoding(self, encoding: str):
        with pytest.raises(RecordingCorrupt, match="DTD"):
            read_recordings(hostile.declared(encoding))

    def test_an_entity_that_only_pythons_decoder_sees_reaches_no_title(self):
        with pytest.raises(RecordingCorrupt, match="raw_unicode_escape"):
            read_recordings(hostile.hidden_entity())
        assert only(hostile.hidden_entity().replace(b"raw_unicode_escape", b"UTF-8")).title == r"\u0026e9;"

    def test_the_parser_decides_what_the_root_is(self):
        with pytest.raises(RecordingUnknown):
            read_recordings(b"<html><!-- <gpx> --></html>")
        times = ("2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z")
        assert only(gpx(track(*times), header="<!-- <TrainingCenterDatabase> -->")).duration_s == 600

    def test_names_may_have_prefixes(self):
        plain = gpx(track("2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z")).decode()
        prefixed = re.sub(r"<(/?)(gpx|trk|name|type|trkseg|trkpt|ele|time)\b", r"<\1g:\2", plain)
        assert only(prefixed.replace("xmlns=", "xmlns:g=").encode()) == only(plain.encode())

    @pytest.mark.parametrize("name", ["deep XML", "deep extensions", "an attribute of 25 MB", "a comment of 25 MB"])
    def test_what_takes_the_parser_too_much_is_refused(self, name: str):
        content = unpacked(hostile.hostile_files(3_000_000)[name]())
        with pytest.raises(RecordingCorrupt, match=r"deep|more than"):
            read_recordings(content)

    def test_a_long_title_is_cut(self):
        times = ("2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z")
        title = only(gpx(track(*times, name="long " * 100_000))).title
        assert title is not None
        assert len(title) <= 4_000


class TestHostileFiles:
    """Small ones of each kind; `python -m tests.soak.hostile_files` has large ones, and measures what they take."""

    async def test_each_is_refused_or_read(self, reader: RecordingReaderPort):
        files = hostile.hostile_files(30_000) | hostile.cut_files()
        assert len(files) > 400
        for name, make in files.items():
            try:
                activities = await read(reader, make())
            except (RecordingRefused, InvalidFields):
                continue
            assert 1 <= len(activities) <= MAX_ACTIVITIES, name
            assert "SMUGGLED" not in str(activities), name

    async def test_very_many_points_are_read_in_little_memory(self, reader: RecordingReaderPort):
        points = hostile.hostile_files(5_000_000)["a million bare points"]()
        assert len(points) < 40_000
        (activity,) = await read(reader, points)
        assert activity.duration_minutes == 5


class TestTcx:
    def test_an_activity_is_the_sum_of_its_laps(self):
        laps = [
            lap("2026-05-01T06:00:00Z", seconds=600, metres=2000, kcal=100, average=130, highest=150),
            lap("2026-05-01T06:10:00Z", seconds=300, metres=1000.5, kcal=60, average=160, highest=181),
        ]
        assert only(tcx(tcx_activity(*laps))) == Recording(
            activity_type=ActivityType.RUN,
            started_at=MORNING,
            utc_offset=None,
            duration_s=900,
            elapsed_s=900,
            distance_m=3000.5,
            calories_kcal=160,
            average_heart_rate_bpm=140,
            max_heart_rate_bpm=181,
        )

    def test_each_activity_becomes_one(self):
        one = lap("2026-05-01T06:00:00Z", seconds=600, metres=2000, kcal=100, average=130, highest=150)
        file = tcx(tcx_activity(one), tcx_activity(one, sport="Biking"), tcx_activity(one, sport="Other"))
        kinds = [recording.activity_type for recording in found(file)]
        assert kinds == [ActivityType.RUN, ActivityType.RIDE, ActivityType.WORKOUT]

    def test_an_activity_of_no_length_is_left_out(self):
        real = lap("2026-05-01T06:00:00Z", seconds=600, metres=2000, kcal=100, average=130, highest=150)
        empty = lap("2026-05-01T06:00:00Z", seconds=0, metres=0, kcal=0, average=0, highest=0)
        assert len(found(tcx(tcx_activity(empty), tcx_activity(real)))) == 1

    def test_laps_without_times_are_called_so(self):
        timeless = lap(None, seconds=600, metres=0, kcal=0, average=0, highest=0)
        endless = lap("2026-05-01T06:00:00Z", seconds=0, metres=0, kcal=0, average=0, highest=0)
        for laps in (timeless, endless):
            with pytest.raises(RecordingWithoutTimes):
                read_recordings(tcx(tcx_activity(laps)))

    def test_a_file_without_activities_is_called_so(self):
        with pytest.raises(RecordingWithoutActivity):
            read_recordings(tcx())

    def test_damage_is_refused(self):
        one = lap("2026-05-01T06:00:00Z", seconds=600, metres=2000, kcal=100, average=130, highest=150)
        good = tcx(tcx_activity(one))
        for broken in (good.replace(b"</Lap>", b"</Lab>"), good[:150]):
            with pytest.raises((RecordingCorrupt, RecordingWithoutActivity)):
                read_recordings(broken)
        with pytest.raises(RecordingWithoutTimes):
            read_recordings(good.replace(b"2026-", b"20x6-"))


@pytest.mark.parametrize(
    ("sport", "sub_sport", "expected"),
    [
        ("running", "trail", ActivityType.TRAIL_RUN),
        ("running", "treadmill", ActivityType.RUN),
        ("running", None, ActivityType.RUN),
        ("fitness_equipment", "indoor_rowing", ActivityType.ROWING),
        ("cycling", "virtual_activity", ActivityType.VIRTUAL_RIDE),
        ("Mountain Biking", None, ActivityType.MOUNTAIN_BIKE_RIDE),
        ("golf", None, ActivityType.GOLF),
        ("sky_diving", None, ActivityType.WORKOUT),
        (None, None, ActivityType.WORKOUT),
        (57, 93, ActivityType.WORKOUT),
        ("TrailRun", None, ActivityType.TRAIL_RUN),
        ("VirtualRide", None, ActivityType.VIRTUAL_RIDE),
        ("GravelRide", None, ActivityType.GRAVEL_RIDE),
        ("EBikeRide", None, ActivityType.E_BIKE_RIDE),
        ("EMountainBikeRide", None, ActivityType.E_MOUNTAIN_BIKE_RIDE),
        ("HighIntensityIntervalTraining", None, ActivityType.HIGH_INTENSITY_INTERVAL_TRAINING),
        ("PhysicalTherapy", None, ActivityType.PHYSICAL_THERAPY),
        ("road_biking", None, ActivityType.RIDE),
        ("street_running", None, ActivityType.RUN),
        ("treadmill_running", None, ActivityType.RUN),
        ("lap_swimming", None, ActivityType.SWIM),
        ("open_water_swimming", None, ActivityType.SWIM),
        ("skate_skiing_ws", None, ActivityType.NORDIC_SKI),
        ("stand_up_paddleboarding_v2", None, ActivityType.STAND_UP_PADDLING),
        ("racket", "padel", ActivityType.PADEL),
        ("basketball", None, ActivityType.BASKETBALL),
        ("volleyball", None, ActivityType.VOLLEYBALL),
        ("transition", "bike_to_run_transition", ActivityType.TRANSITION),
        ("Nordic Walking", None, ActivityType.WALK),
    ],
)
def test_a_devices_sport_is_the_nearest_of_our_types(sport: object, sub_sport: object, expected: ActivityType):
    assert activity_type(sport, sub_sport) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1", ActivityType.RIDE),
        ("9", ActivityType.RUN),
        ("10", ActivityType.WALK),
        ("16", ActivityType.SWIM),
        ("17", ActivityType.VIRTUAL_RIDE),
        ("99", ActivityType.WORKOUT),
        ("running", ActivityType.RUN),
        (None, ActivityType.WORKOUT),
    ],
)
def test_the_type_of_a_track_may_be_one_of_stravas_numbers(name: str | None, expected: ActivityType):
    assert sport_of_track(name).activity_type is expected


@pytest.mark.parametrize(
    ("sport", "sub_sport", "indoor"),
    [
        ("cycling", "indoor_cycling", True),
        ("running", "treadmill", True),
        ("swimming", "lap_swimming", True),
        ("fitness_equipment", "indoor_rowing", True),
        ("cycling", "virtual_activity", True),
        ("VirtualRide", None, True),
        ("running", "trail", None),
        ("yoga", None, None),
    ],
)
def test_a_sport_may_be_one_of_indoors(sport: str, sub_sport: str | None, indoor: bool | None):
    assert sport_named(sport, sub_sport).indoor is indoor


def test_what_has_places_was_outdoors_and_of_a_trainer_nobody_asks_where_it_stood():
    assert (only(A_TRACK).is_indoor, only(A_TRACK).place_zone) == (False, "Europe/Ljubljana")
    simulated = gpx(track("2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z", kind="VirtualRide"))
    assert (only(simulated).is_indoor, only(simulated).place_zone) == (True, None)
    nowhere = A_TRACK.replace(b' lat="', b' latitude="')
    assert (only(nowhere).is_indoor, only(nowhere).place_zone, only(nowhere).distance_m) == (None, None, None)


Understood = tuple[str, list[str], list[float], str, str]
"""A file's name, the types and minutes of its activities, and the first one's day and time zone."""

UNDERSTOOD: list[Understood] = [
    ("run.fit", ["run"], [10.0], "2026-05-03", "Europe/Ljubljana"),
    ("indoor-ride.fit", ["ride"], [15.0], "2026-01-18", "Europe/Ljubljana"),
    ("indoor-rowing.fit", ["rowing"], [28.5], "2026-05-03", "+01:00"),
    ("virtual-ride.fit", ["virtual_ride"], [30.1], "2026-05-03", "Europe/Ljubljana"),
    (
        "triathlon.fit",
        ["swim", "transition", "ride", "transition", "run"],
        [33.0, 2.8, 73.7, 1.0, 47.5],
        "2026-05-03",
        "Europe/Ljubljana",
    ),
    (
        "two-in-one.fit",
        ["run", "swim", "transition", "ride", "transition", "run"],
        [10.0, 33.0, 2.8, 73.7, 1.0, 47.5],
        "2026-05-03",
        "Europe/Ljubljana",
    ),
    ("cut.fit", ["workout"], [9.6], "2026-05-03", "Europe/Ljubljana"),
    ("two-walks.gpx", ["workout"] * 2, [19.8, 19.8], "2026-05-03", "Europe/Ljubljana"),
    ("under-a-second.gpx", ["run"], [0.0], "2026-05-03", "Europe/Ljubljana"),
    ("paddling.tcx", ["workout"], [18.5], "2026-05-03", "Europe/Ljubljana"),
]
REALLY_UNDERSTOOD: list[Understood] = [
    ("garmin-fenix-5-run.fit", ["run"], [0.9], "2017-06-11", "America/Los_Angeles"),
    ("activity-small-fenix2-run.fit", ["run"], [47.2], "2015-08-15", "Europe/Oslo"),
    ("sample-activity-indoor-trainer.fit", ["ride"], [37.7], "2011-11-02", "Europe/Ljubljana"),
    ("20170518-191602-1740899583.fit", ["rowing"], [28.5], "2017-05-18", "+01:00"),
    (
        "sample_mulitple_header.fit",
        ["swim", "transition", "ride", "transition", "run"],
        [33.1, 2.8, 73.7, 1.0, 47.5],
        "2018-05-27",
        "Europe/Paris",
    ),
    ("null_compressed_speed_dist.fit", ["virtual_ride"], [30.1], "2017-10-05", "Europe/Ljubljana"),
    ("around-visnjan-with-car.gpx", ["workout"], [5.4], "2020-12-18", "Europe/Zagreb"),
    ("cerknicko-jezero.gpx", ["workout"], [44.5], "2010-08-05", "Europe/Ljubljana"),
    ("korita-zbevnica.gpx", ["workout"], [127.8], "2010-10-03", "Europe/Zagreb"),
    ("activity-unexpected-eof.fit", ["run"], [0.2], "2012-04-09", "America/New_York"),
    ("track-with-less-sec-time.gpx", ["run"], [0.0], "2015-12-11", "Europe/Copenhagen"),
    ("sup_activity_1.tcx", ["workout"], [18.5], "2022-07-16", "Europe/Ljubljana"),
]
REFUSED: list[tuple[str, type[RecordingRefused]]] = [
    ("wrong-sum.fit", RecordingCorrupt),
    ("settings.fit", RecordingWithoutActivity),
    ("planned.gpx", RecordingWithoutTimes),
    ("waypoints.gpx", RecordingWithoutActivity),
    ("readme.md", RecordingUnknown),
]
REALLY_REFUSED: list[tuple[str, type[RecordingRefused]]] = [
    ("activity-filecrc.fit", RecordingCorrupt),
    ("Settings.fit", RecordingWithoutActivity),
    ("cerknicko-without-times.gpx", RecordingWithoutTimes),
    ("unicode.gpx", RecordingWithoutActivity),
    ("README.md", RecordingUnknown),
]


def content_of(name: str) -> bytes:
    return SAMPLES[name]() if name in SAMPLES else (REAL_FILES / name).read_bytes()


class TestWholeFiles:
    """Samples of our own, and real recordings where they are at hand."""

    @pytest.mark.parametrize(
        ("name", "kinds", "minutes", "first_day", "zone"),
        UNDERSTOOD + (REALLY_UNDERSTOOD if REAL_FILES.exists() else []),
    )
    def test_a_recorded_file_is_understood(
        self, name: str, kinds: list[str], minutes: list[float], first_day: str, zone: str
    ):
        made = [
            imported(recording, home_timezone="Europe/Ljubljana", external_id="x")
            for recording in found(content_of(name))
        ]
        assert [one.activity_type for one in made] == kinds
        assert [one.duration_minutes for one in made] == pytest.approx(minutes, abs=0.06)
        assert made[0].activity_date.date().isoformat() == first_day
        assert made[0].timezone == zone

    @pytest.mark.parametrize(("name", "refusal"), REFUSED + (REALLY_REFUSED if REAL_FILES.exists() else []))
    def test_a_file_that_is_no_activity_is_refused(self, name: str, refusal: type[RecordingRefused]):
        with pytest.raises(refusal):
            read_recordings(content_of(name))
