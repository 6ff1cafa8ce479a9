"""Recorded files with faults: what is made of them, what is said of them, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import nan

import pytest

from fitness.adapters.files.formats import read_recordings
from fitness.domain.model.activities import NewActivity
from fitness.domain.model.file_refusals import RecordingCorrupt, RecordingWithoutActivity, RecordingWithoutTimes
from fitness.domain.model.recordings import ReadRecording, activities_of
from fitness.domain.model.refusals import InvalidFields
from tests.files import FitFile, gpx, lap, tcx, tcx_activity, track
from tests.recorded import BEGAN, METRE, Point, a_run, as_bare_tcx, as_fit, as_gpx, as_tcx, fit_file
from tests.samples import DeviceFile

NOW = datetime(2026, 11, 26, tzinfo=UTC)

Damage = Callable[[list[Point]], None]


def read(content: bytes) -> ReadRecording:
    return activities_of(read_recordings(content), digest="0" * 64, home_timezone="Europe/Paris", now=NOW)


def only(file: ReadRecording) -> NewActivity:
    (activity,) = file.activities
    return activity


def as_cut_fit(points: list[Point]) -> bytes:
    """Of a watch that died: without a session."""
    return as_fit(points, session=False)


FORMATS = {"GPX": as_gpx, "TCX": as_bare_tcx, "FIT": as_cut_fit}
PARTS = {"GPX": "track 1", "TCX": "activity 1", "FIT": "records"}


def without_a_time(points: list[Point]) -> None:
    points[0].at = points[300].at = None


def dated_1901(points: list[Point]) -> None:
    points[0].at = datetime(1901, 1, 1, tzinfo=UTC)


def dated_20_days_before(points: list[Point]) -> None:
    points[0].at = BEGAN - timedelta(days=20)


def dated_2098(points: list[Point]) -> None:
    points[-1].at = datetime(2098, 1, 1, tzinfo=UTC)


def back_in_time(points: list[Point]) -> None:
    points[300].at = BEGAN + timedelta(hours=2)


def at_0_0(points: list[Point]) -> None:
    for point in (points[0], points[300], points[301]):
        point.latitude = point.longitude = 0.0


def far_off(points: list[Point]) -> None:
    points[300].latitude = 12.0


def not_a_number(points: list[Point]) -> None:
    points[300].latitude = points[300].elevation_m = nan


def a_mile_high(points: list[Point]) -> None:
    points[300].elevation_m = 12_500.0


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a point without a time": (without_a_time, "left out 2 points without a time"),
    "a point dated 1901": (dated_1901, "left out 1 point dated far from the others"),
    "a first point of a stale clock": (dated_20_days_before, "left out 1 point dated far from the others"),
    "the last point dated 2098": (dated_2098, "left out 1 point dated far from the others"),
    "a time that goes back": (back_in_time, "left out 1 point whose time goes back"),
    "a jump to 0°, 0°": (at_0_0, "left out 3 places off the globe or at 0° N, 0° E"),
    "a jump far off": (far_off, "left out 1 place too far from the others"),
    "an elevation beyond all mountains": (a_mile_high, "left out 1 impossible elevation"),
}
"""Each with what is said of it."""


@pytest.mark.parametrize("form", ["GPX", "TCX"])  # a FIT file's numbers are whole ones
def test_numbers_that_are_none_are_not_known(form: str):
    points = a_run()
    not_a_number(points)
    assert_is_the_run(only(read(FORMATS[form](points))), within_s=0)


@pytest.mark.parametrize("form", FORMATS)
class TestPoints:
    """In each format, with no figure beside the points. So each figure is told from those that are sound."""

    def test_without_damage_nothing_is_said(self, form: str):
        file = read(FORMATS[form](a_run()))
        assert_is_the_run(only(file), within_s=0)
        assert [warning for warning in file.warnings if "left out" in warning] == []

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_a_damaged_point_is_left_out_and_named(self, form: str, damage: str):
        points = a_run()
        do, said = DAMAGES[damage]
        do(points)
        file = read(FORMATS[form](points))
        assert_is_the_run(only(file), within_s=1)
        named = [warning for warning in file.warnings if "left out" in warning]
        assert named == [f"{PARTS[form]}: {said}"]

    def test_points_that_are_all_undated_are_a_refusal(self, form: str):
        points = a_run()
        for point in points[1:]:
            point.at = None
        with pytest.raises((RecordingWithoutTimes, RecordingWithoutActivity, RecordingCorrupt)):
            read(FORMATS[form](points))


def assert_is_the_run(activity: NewActivity, *, within_s: float) -> None:
    assert activity.activity_type == "run"
    assert abs((activity.activity_date - BEGAN).total_seconds()) <= within_s
    assert activity.duration_minutes == pytest.approx(10, abs=(within_s + 1) / 60)
    assert activity.elapsed_minutes == pytest.approx(10, abs=within_s / 60 + 0.001)
    assert activity.distance_km == pytest.approx(1.8, abs=0.01)
    assert activity.elevation_gain_m == pytest.approx(20, abs=0.5)
    assert activity.average_heart_rate_bpm == pytest.approx(139, abs=1)
    assert activity.max_heart_rate_bpm == 159
    assert (activity.timezone, activity.is_indoor) == ("Europe/Ljubljana", False)


class TestCutOff:
    """What a watch or an app wrote that died on the way."""

    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
    def test_what_is_there_is_kept(self, form: str, share: float):
        content = FORMATS[form](a_run())
        file = read(content[: int(len(content) * share)])
        activity = only(file)
        assert file.recovered
        assert activity.activity_type == "run"
        assert activity.duration_minutes == pytest.approx(10 * share, abs=0.3)
        assert activity.distance_km == pytest.approx(1.8 * share, abs=0.06)
        assert any("it ends too early" in one or "no usable session" in one for one in file.warnings)

    @pytest.mark.parametrize("form", FORMATS)
    def test_what_ends_before_its_second_point_is_refused(self, form: str):
        content = FORMATS[form](a_run())
        with pytest.raises((RecordingCorrupt, RecordingWithoutActivity, RecordingWithoutTimes)):
            read(content[:350] if form != "FIT" else content[:90])

    def test_a_session_that_stands_before_the_cut_is_kept_as_it_is(self):
        whole = fit_file(a_run()).clock(timedelta(hours=2)).content()
        file = read(whole[:-5])
        assert file.recovered
        assert replace(only(file), external_id=None) == replace(only(read(whole)), external_id=None)
        assert file.warnings == ("the file: it ends too early; its sessions are there",)

    def test_a_watch_that_never_wrote_the_size_is_read_to_the_end(self):
        content = as_cut_fit(a_run())
        unfinished = content[:4] + bytes(4) + content[8:-2]
        file = read(unfinished)
        assert file.recovered
        assert_is_the_run(only(file), within_s=0)

    def test_what_was_recovered_without_a_sport_is_a_workout(self):
        assert only(read(as_fit(a_run(), session=False, sport=False))).activity_type == "workout"

    def test_a_whole_file_is_not_recovered(self):
        assert [read(content).recovered for content in (as_fit(a_run()), as_gpx(a_run()), as_tcx(a_run()))] == [
            False
        ] * 3

    def test_a_checksum_that_is_wrong_in_the_middle_is_a_refusal(self):
        content = bytearray(as_fit(a_run()))
        content[2_000] ^= 0x10
        with pytest.raises(RecordingCorrupt, match="checksum"):
            read(bytes(content))


class TestChainedFiles:
    def test_a_broken_second_one_leaves_the_first(self):
        first = as_fit(a_run())
        for second in (
            first[:-1] + b"!",
            b"\x0e\x10T\x08rubbish and more",
            b"\x0e" + first[1:8] + b"XXXX" + first[12:],
        ):
            file = read(first + second)
            assert_is_the_run(only(file), within_s=0)
            assert file.warnings[-1].startswith("the file: left out a part that is damaged:")
            assert not file.recovered

    def test_a_broken_first_one_leaves_the_second(self):
        whole = as_fit(a_run())
        file = read(whole[:-1] + bytes([whole[-1] ^ 1]) + whole)
        assert_is_the_run(only(file), within_s=0)
        assert file.warnings[-1] == "the file: left out a part that is damaged: its checksum is wrong"

    def test_zeros_at_the_end_are_nothing(self):
        assert read(as_fit(a_run()) + bytes(512)).warnings == ()


class TestTotals:
    """What devices say of a whole session or lap."""

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("DistanceMeters", "NaN", "left out the distance, which is no number"),
            ("DistanceMeters", "-5", "left out the distance, since -5 m is impossible"),
            ("DistanceMeters", "1e300", "left out the distance, since 1e+300 m is impossible"),
            ("Calories", "70000", "left out the calories, since 70000 kcal is impossible"),
            ("Calories", "a lot", "left out the calories, which is no number"),
            ("TotalTimeSeconds", "-3", "left out the time, since -3 s is impossible"),
            ("TotalTimeSeconds", "0", None),
        ],
    )
    def test_a_laps_impossible_total_is_told_from_its_points(self, name: str, value: str, said: str | None):
        told = {"TotalTimeSeconds": "600", "DistanceMeters": "1800", "Calories": "80"} | {name: value}
        file = read(as_tcx(a_run(), **told))
        assert_is_the_run(only(file), within_s=0)
        assert only(file).calories_kcal == (None if name == "Calories" else 80)
        assert file.warnings == (() if said is None else (f"activity 1, lap 1: {said}",))

    def test_a_lap_says_no_averages_and_its_points_do(self):
        assert_is_the_run(only(read(as_tcx(a_run()))), within_s=0)

    def test_a_laps_own_averages_count_before_its_points(self):
        one = lap("2026-05-01T06:00:00Z", seconds=600, metres=2000, kcal=100, average=130, highest=150)
        points = "<Track><Trackpoint><HeartRateBpm><Value>99</Value></HeartRateBpm></Trackpoint></Track>"
        activity = only(read(tcx(tcx_activity(one.replace("</Lap>", f"{points}</Lap>")))))
        assert (activity.average_heart_rate_bpm, activity.max_heart_rate_bpm) == (130, 150)

    def test_a_sessions_missing_figures_are_told_from_its_records(self):
        file = fit_file(a_run(), session=False)
        file.session(
            start=BEGAN,
            timer_s=600,
            elapsed_s=600,
            distance_m=42_949_672.95,
            ascent_m=0xFFFF,
            average_hr=0,
            highest_hr=0,
        )
        assert_is_the_run(only(read(file.content())), within_s=0)

    def test_a_sessions_impossible_figures_are_left_out_and_named(self):
        file = FitFile().session(distance_m=3_000_000, ascent_m=30_000, kcal=60_000)
        read_file = read(file.content())
        activity = only(read_file)
        assert (activity.distance_km, activity.elevation_gain_m, activity.calories_kcal) == (None, None, None)
        assert read_file.warnings == (
            "activity 1: left out distance_km, since 3000 is impossible",
            "activity 1: left out elevation_gain_m, since 30000 is impossible",
            "activity 1: left out calories_kcal, since 60000 is impossible",
        )

    def test_figures_that_nobody_reaches_in_the_time_are_left_out_and_named(self):
        file = read(
            FitFile().session(timer_s=60, elapsed_s=60, distance_m=50_000, ascent_m=5_000, kcal=9_000).content()
        )
        activity = only(file)
        assert (activity.distance_km, activity.elevation_gain_m, activity.calories_kcal) == (None, None, None)
        assert len(file.warnings) == 3

    def test_a_laps_time_that_its_points_do_not_cover_is_left_out_and_named(self):
        file = read(as_tcx(a_run(), TotalTimeSeconds=60_000, DistanceMeters=1_800))
        assert_is_the_run(only(file), within_s=0)
        assert file.warnings == ("activity 1: left out the time, since 60000 s is impossible",)

    def test_the_short_times_of_compressed_records_count_on_across_a_turn_of_their_clock(self):
        records = DeviceFile().records(BEGAN, 100, compressed=True).content()
        activity = only(read(records))
        assert (activity.duration_minutes, activity.distance_km) == (1.65, 0.297)

    @pytest.mark.parametrize(("timer_s", "elapsed_s"), [(4e6, 1_900.0), (0.0, 1_900.0), (None, 1_900.0)])
    def test_a_timer_that_is_absurd_is_the_elapsed_time(self, timer_s: float | None, elapsed_s: float):
        activity = only(read(FitFile().session(timer_s=timer_s, elapsed_s=elapsed_s).content()))
        assert (activity.duration_minutes, activity.elapsed_minutes) == (31.667, 31.667)

    def test_the_timer_and_the_elapsed_time_are_two_things(self):
        activity = only(read(FitFile().session(timer_s=1_200, elapsed_s=1_800).content()))
        assert (activity.duration_minutes, activity.elapsed_minutes) == (20, 30)

    def test_elapsed_time_is_never_below_the_timer(self):
        activity = only(read(FitFile().session(timer_s=1_808, elapsed_s=1_807).content()))
        assert activity.duration_minutes == activity.elapsed_minutes == 30.133

    def test_a_session_without_times_is_told_from_its_records(self):
        file = fit_file(a_run(), session=False).session(start=None, timer_s=None, elapsed_s=0)
        read_file = read(file.content())
        assert_is_the_run(only(read_file), within_s=0)
        assert read_file.recovered

    def test_recordings_of_impossible_dates_are_left_out_while_others_are_left(self):
        future = FitFile().session(start=NOW + timedelta(days=2))
        with pytest.raises(InvalidFields, match="activity_date"):
            read(future.content())
        file = read(future.session().content())
        assert len(file.activities) == 1
        assert file.activities[0].external_id == "0" * 64
        assert file.warnings[0].startswith("activity 1: left out, activity_date: must lie between")


class TestPauses:
    def test_a_pause_is_out_of_the_duration_in_every_format(self):
        """The recording goes on for ten minutes in which nobody moves."""
        points = a_run(1_200)
        for second, point in enumerate(points):
            moved = min(second, 300) + max(0, second - 900)
            point.latitude, point.distance_m = 46 + 3 * moved * METRE, 3.0 * moved
        for content in (
            as_gpx(points),
            as_bare_tcx(points),
            as_tcx(points, TotalTimeSeconds=1_200),
            as_cut_fit(points),
        ):
            activity = only(read(content))
            assert activity.duration_minutes == pytest.approx(10, abs=0.4)
            assert activity.elapsed_minutes == 20

    def test_a_tcx_whose_timer_stopped_in_pauses_is_believed(self):
        points = a_run()
        for point in points[300:]:
            assert point.at is not None
            point.at += timedelta(minutes=5)
        activity = only(read(as_tcx(points, TotalTimeSeconds=598)))
        assert (activity.duration_minutes, activity.elapsed_minutes) == (9.967, 15)


class TestParts:
    """Which activities a file makes, and which of them belong together."""

    def test_the_sessions_of_a_triathlon_are_a_group(self):
        file = FitFile()
        for number, sport in enumerate(("swimming", "transition", "cycling")):
            file.session(sport, start=BEGAN + timedelta(minutes=30 * number))
        assert read(file.content()).groups == ((0, 1, 2),)

    def test_sessions_of_two_days_are_none_and_neither_are_chained_files(self):
        two_days = FitFile().session(start=BEGAN).session(start=BEGAN + timedelta(days=1)).content()
        assert read(two_days).groups == ()
        assert read(FitFile().session().content() * 2).groups == ()

    def test_the_groups_are_those_of_the_activities_that_are_left(self):
        file = FitFile().session("swimming", timer_s=4e6, elapsed_s=4e6).session().session("cycling")
        assert read(file.content()).groups == ((0, 1),)

    def test_the_sports_of_a_multisport_session_are_a_group(self):
        one = lap("2026-05-01T06:00:00Z", seconds=600, metres=2000, kcal=100, average=130, highest=150)
        first, second, alone = (tcx_activity(one, sport=sport) for sport in ("Biking", "Running", "Other"))
        parts = f"<FirstSport>{first}</FirstSport><NextSport>{second}</NextSport>"
        assert read(tcx(f"<MultiSportSession>{parts}</MultiSportSession>{alone}")).groups == ((0, 1),)

    def test_tracks_that_follow_each_other_within_hours_are_one_activity(self):
        tracks = [
            track(f"2026-05-01T0{hour}:00:00Z", f"2026-05-01T0{hour}:10:00Z", name=f"Track {hour}")
            for hour in (6, 7, 9)
        ]
        activity = only(read(gpx(*tracks)))
        assert (activity.title, activity.duration_minutes, activity.elapsed_minutes) == ("Track 6", 30, 190)

    @pytest.mark.parametrize("apart", [timedelta(seconds=5), timedelta(hours=1)])
    @pytest.mark.parametrize("without", [1, 2], ids=["the first", "the second"])
    def test_of_two_such_tracks_one_without_places_costs_the_other_nothing(self, without: int, apart: timedelta):
        parts = [a_run(), a_run()]
        for second, point in enumerate(parts[2 - without]):
            point.latitude = 46 + second * METRE  # so slow that each second is looked at with those around it
        for point in parts[1]:
            assert point.at is not None
            point.at += timedelta(seconds=600) + apart
        for point in parts[without - 1]:
            point.latitude = point.longitude = 0.0
        trkpts = [as_gpx(part).decode().partition("<trkseg>")[2].partition("</trkseg>")[0] for part in parts]
        file = read(gpx(*[f"<trk><type>9</type><trkseg>{points}</trkseg></trk>" for points in trkpts]))
        activity = only(file)
        assert activity.distance_km == pytest.approx(0.6, abs=0.01)
        assert activity.duration_minutes == 20
        assert activity.elapsed_minutes == pytest.approx(20 + apart.total_seconds() / 60, abs=0.001)
        assert activity.elevation_gain_m == pytest.approx(40, abs=1)
        assert (activity.timezone, activity.is_indoor) == ("Europe/Ljubljana", False)
        assert file.warnings == (
            f"track {without}: left out 601 places off the globe or at 0° N, 0° E",
            f"track {without}: left out its distance, since it has no usable places",
        )

    def test_a_jump_in_a_track_after_one_without_places_is_no_way(self):
        points = [replace(point, latitude=None, longitude=None) for point in a_run(10)] + a_run()[60:]
        for point in points[300:]:
            assert point.latitude is not None
            point.latitude += 1
        parts = [as_gpx(part).decode().partition("<gpx")[2].partition(">")[2] for part in (points[:11], points[11:])]
        activity = only(read(gpx(*[part.removesuffix("</gpx>") for part in parts])))
        assert activity.distance_km == pytest.approx(1.62, abs=0.01)

    @pytest.mark.parametrize(
        "second",
        [
            track("2026-05-01T11:00:00Z", "2026-05-01T11:10:00Z"),
            track("2026-05-01T06:30:00Z", "2026-05-01T06:40:00Z", kind="cycling"),
            track("2026-05-01T06:05:00Z", "2026-05-01T06:15:00Z"),
            track("2026-05-01T05:30:00Z", "2026-05-01T05:40:00Z"),
        ],
        ids=["hours later", "another sport", "at the same time", "before it"],
    )
    def test_others_are_activities_of_their_own(self, second: str):
        file = gpx(track("2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z"), second)
        assert len(read(file).activities) == 2

    def test_a_planned_track_that_was_followed_at_its_end_alone_is_none(self):
        with pytest.raises(RecordingWithoutTimes):
            read(gpx(track(None, None, None, "2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z")))

    def test_a_track_without_times_beside_another_is_named(self):
        file = read(gpx(track(None, None), track("2026-05-01T06:00:00Z", "2026-05-01T06:10:00Z")))
        assert file.warnings == ("track 1: left out, since it has no times",)
