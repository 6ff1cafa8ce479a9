"""Our figures of whole recordings beside those of their devices, or of the libraries that know the format.

A row is a file: what it is, what we make of it, and by whom it was told otherwise. Times are in seconds.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import fitdecode
import gpxpy
import pytest

from fitness.adapters.files.fit_messages import parts_of
from fitness.adapters.files.fit_records import points_of
from fitness.adapters.files.formats import read_recordings
from fitness.adapters.files.points import sound
from fitness.adapters.files.remarks import Remarks
from fitness.adapters.files.sports import Sport
from fitness.adapters.files.tracks import recording_of
from fitness.domain.model.activities import NewActivity
from fitness.domain.model.recordings import activities_of
from tests.samples import SAMPLES

REAL_FILES = Path(__file__).parents[3] / "shared" / "activities"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One activity. None is unknown."""

    kind: str
    timer_s: float
    elapsed_s: float
    km: float | None
    climb_m: float | None = None
    kcal: int | None = None
    heart_rate: tuple[int, int] | None = None
    indoor: bool | None = False
    zone: str = "Europe/Ljubljana"


def session(kind: str, timer_s: float, elapsed_s: float | None = None, **others: Any) -> Row:
    """As `tests.files.FitFile` writes it."""
    said: dict[str, Any] = {"km": 5, "climb_m": 42, "kcal": 300, "heart_rate": (140, 171)}
    return Row(kind=kind, timer_s=timer_s, elapsed_s=elapsed_s or timer_s, **said | others)


TRIATHLON = [
    session("swim", 1980),
    session("transition", 168),
    session("ride", 4422),
    session("transition", 60),
    session("run", 2850),
]
WALK = Row(kind="workout", timer_s=1188, elapsed_s=1196, km=3.575, climb_m=376)
"""Up and down a saw of fifteen points each, which smoothing flattens. Between its parts, four seconds are no motion."""

OURS: dict[str, Sequence[Row]] = {
    "run.fit": [session("run", 600)],
    "indoor-ride.fit": [session("ride", 900, 930, indoor=None)],
    "indoor-rowing.fit": [session("rowing", 1710, km=0, indoor=True, zone="+01:00")],
    # The device says 0 for the heart rate, and its records say it; its timer ran on after the end.
    "virtual-ride.fit": [session("virtual_ride", 1808, heart_rate=(140, 159), indoor=True)],
    "triathlon.fit": TRIATHLON,
    "two-in-one.fit": [session("run", 600), *TRIATHLON],
    "cut.fit": [Row(kind="workout", timer_s=578, elapsed_s=578, km=1.734, climb_m=91.4, heart_rate=(139, 159))],
    "two-walks.gpx": [WALK, WALK],
    "under-a-second.gpx": [Row(kind="run", timer_s=0.994, elapsed_s=0.994, km=0.001, climb_m=0)],
    "paddling.tcx": [
        Row(kind="workout", timer_s=1110, elapsed_s=1110, km=1.332, climb_m=0, kcal=160, heart_rate=(88, 108))
    ],
}
"""Of the samples that `tests.samples` makes."""

REAL: dict[str, Sequence[Row]] = {
    "20170518-191602-1740899583.fit": [
        Row(kind="rowing", timer_s=1707.3, elapsed_s=1707.3, km=0, climb_m=0, kcal=286, heart_rate=(132, 179),
            indoor=True, zone="+01:00"),
    ],
    "activity-small-fenix2-run.fit": [
        Row(kind="run", timer_s=2832, elapsed_s=2832, km=9.008, climb_m=64, kcal=516, heart_rate=(154, 178),
            zone="Europe/Oslo"),
    ],
    # Cut off in its last message, after the session.
    "activity-unexpected-eof.fit": [
        Row(kind="run", timer_s=13.7, elapsed_s=13.7, km=0.006, climb_m=0, kcal=0, zone="America/New_York"),
    ],
    "garmin-fenix-5-bike.fit": [
        Row(kind="ride", timer_s=60.4, elapsed_s=60.4, km=0.46, climb_m=0, kcal=7, heart_rate=(101, 114),
            zone="America/Los_Angeles"),
    ],
    "garmin-fenix-5-run.fit": [
        Row(kind="run", timer_s=56.9, elapsed_s=56.9, km=0.158, climb_m=2, kcal=5, heart_rate=(90, 112),
            zone="America/Los_Angeles"),
    ],
    "garmin-fenix-5-walk.fit": [
        Row(kind="walk", timer_s=45.4, elapsed_s=45.4, km=0.068, climb_m=1, kcal=4, heart_rate=(75, 82),
            zone="America/Los_Angeles"),
    ],
    "null_compressed_speed_dist.fit": [
        Row(kind="virtual_ride", timer_s=1808, elapsed_s=1808, km=13.4, climb_m=92, kcal=212, indoor=True),
    ],
    "sample-activity-indoor-trainer.fit": [
        Row(kind="ride", timer_s=2261.8, elapsed_s=2261.8, km=0, climb_m=4, kcal=379, heart_rate=(148, 176),
            indoor=None),
    ],
    "sample_mulitple_header.fit": [
        Row(kind="swim", timer_s=1987.5, elapsed_s=1987.5, km=1.645, climb_m=0, kcal=245, heart_rate=(165, 175),
            zone="Europe/Paris"),
        Row(kind="transition", timer_s=170.3, elapsed_s=170.3, km=0.142, climb_m=0, kcal=6, heart_rate=(176, 184),
            zone="Europe/Paris"),
        Row(kind="ride", timer_s=4422.1, elapsed_s=4422.1, km=40.909, climb_m=30, kcal=1001, heart_rate=(172, 183),
            zone="Europe/Paris"),
        Row(kind="transition", timer_s=60.7, elapsed_s=60.7, km=0.032, climb_m=0, kcal=1, heart_rate=(164, 169),
            zone="Europe/Paris"),
        Row(kind="run", timer_s=2850.7, elapsed_s=2850.7, km=9.806, climb_m=2, kcal=632, heart_rate=(176, 187),
            zone="Europe/Paris"),
    ],
    "around-visnjan-with-car.gpx": [
        Row(kind="workout", timer_s=325, elapsed_s=514, km=2.736, climb_m=43.3, zone="Europe/Zagreb"),
    ],
    # Seven tracks of one afternoon, of which gpxpy tells 4.58 km and 223 m together.
    "cerknicko-jezero.gpx": [Row(kind="workout", timer_s=2669, elapsed_s=7190, km=4.58, climb_m=169.1)],
    # Two tracks, of which gpxpy tells 6.269 km, 308 m and 7 084 s of motion at more than 1 km/h.
    "korita-zbevnica.gpx": [
        Row(kind="workout", timer_s=7665, elapsed_s=13381, km=6.269, climb_m=274.2, zone="Europe/Zagreb"),
    ],
    "track-with-less-sec-time.gpx": [
        Row(kind="run", timer_s=0.994, elapsed_s=0.994, km=0.002, climb_m=0, zone="Europe/Copenhagen"),
    ],
    "sup_activity_1.tcx": [
        Row(kind="workout", timer_s=1112.3, elapsed_s=1112.3, km=1.158, kcal=92, heart_rate=(88, 108)),
    ],
}  # fmt: skip
"""Of real recordings, where they are at hand."""

TABLE = OURS | (REAL if REAL_FILES.exists() else {})


def content_of(name: str) -> bytes:
    return SAMPLES[name]() if name in SAMPLES else (REAL_FILES / name).read_bytes()


def activities_in(name: str) -> Sequence[NewActivity]:
    file = read_recordings(content_of(name))
    return activities_of(file, digest="0" * 64, home_timezone="Europe/Ljubljana", now=NOW).activities


@pytest.mark.parametrize("name", TABLE)
def test_the_figures_of_a_file_are_those_of_the_table(name: str):
    assert list(map(row_of, activities_in(name))) == list(map(rounded, TABLE[name]))


@pytest.mark.parametrize("name", [name for name in TABLE if name.endswith(".fit") and name != "cut.fit"])
def test_the_figures_of_a_fit_file_are_its_devices(name: str):
    """As fitdecode reads them, which decodes every message. What the device does not say, its records may."""
    sessions = [message for message in messages(content_of(name)) if message.name == "session"]
    activities = activities_in(name)
    assert len(activities) == len(sessions)
    for activity, said in zip(activities, sessions, strict=True):
        assert activity.activity_date == said.get_value("start_time")
        for field, value, ours in (
            ("total_timer_time", activity.duration_minutes * 60, 0.04),
            ("total_distance", (activity.distance_km or 0) * 1000, 0.6),
            ("total_ascent", activity.elevation_gain_m, 0),
            ("total_calories", activity.calories_kcal, 0),
            ("avg_heart_rate", activity.average_heart_rate_bpm, 0),
            ("max_heart_rate", activity.max_heart_rate_bpm, 0),
        ):
            told = said.get_value(field, fallback=None)
            if told:
                assert value == pytest.approx(told, abs=ours), field


def messages(content: bytes) -> list[Any]:
    """As far as the file is whole."""
    found: list[Any] = []
    with (
        suppress(fitdecode.FitEOFError),
        fitdecode.FitReader(BytesIO(content), error_handling=fitdecode.ErrorHandling.IGNORE) as frames,
    ):
        for frame in frames:
            if frame.frame_type == fitdecode.FIT_FRAME_DATA:
                found.append(frame)  # noqa: PERF401 - an error may come between two
    return found


@pytest.mark.parametrize("name", [name for name in TABLE if name.endswith(".gpx")])
def test_the_distance_of_a_gpx_file_is_gpxpys_and_its_climb_is_less(name: str):
    """Climb: gpxpy sums what wavers, which we do not."""
    timed = [track for track in gpxpy.parse(content_of(name)).tracks if track.get_time_bounds().start_time]
    activities = activities_in(name)
    assert sum(one.distance_km or 0 for one in activities) * 1000 == pytest.approx(
        sum(track.length_2d() for track in timed), abs=1
    )
    climb = sum(one.elevation_gain_m or 0 for one in activities)
    assert climb <= sum(track.get_uphill_downhill().uphill for track in timed) * 1.1


def row_of(activity: NewActivity) -> Row:
    average, highest = activity.average_heart_rate_bpm, activity.max_heart_rate_bpm
    return rounded(
        Row(
            kind=activity.activity_type.value,
            timer_s=activity.duration_minutes * 60,
            elapsed_s=(activity.elapsed_minutes or 0) * 60,
            km=activity.distance_km,
            climb_m=activity.elevation_gain_m,
            kcal=activity.calories_kcal,
            heart_rate=None if average is None or highest is None else (average, highest),
            indoor=activity.is_indoor,
            zone=activity.timezone or "",
        )
    )


def rounded(row: Row) -> Row:
    """To whole seconds, ten metres of way and whole metres of climb."""
    return Row(
        kind=row.kind,
        timer_s=round(row.timer_s),
        elapsed_s=round(row.elapsed_s),
        km=None if row.km is None else round(row.km, 2),
        climb_m=None if row.climb_m is None else round(row.climb_m),
        kcal=row.kcal,
        heart_rate=row.heart_rate,
        indoor=row.indoor,
        zone=row.zone,
    )


WITH_TRACKS = {
    "activity-small-fenix2-run.fit": (0.02, 0.15),
    "null_compressed_speed_dist.fit": (0.01, 0.15),
    "sample-activity-indoor-trainer.fit": (0.01, 0.01),
    "sample_mulitple_header.fit": (0.05, 0.3),
}
"""How far the time in motion and the climb, told from the records alone, may be from the device's own."""


if REAL_FILES.exists():

    @pytest.mark.parametrize("name", WITH_TRACKS)
    def test_what_is_told_from_the_points_alone_is_near_the_devices_figures(name: str):
        content = content_of(name)
        recordings = read_recordings(content).recordings
        near_time, near_climb = WITH_TRACKS[name]
        (part, *_), _ = parts_of(content)
        points, _ = points_of(content, part)
        points = sound(points, Remarks(), "records")
        for recording in recordings:
            if recording.activity_type == "transition":
                continue
            began_s = recording.started_at.timestamp()
            own = points.between(began_s, began_s + (recording.elapsed_s or 0))
            told = recording_of(own, Sport(recording.activity_type, None))
            assert told is not None
            assert told.duration_s == pytest.approx(recording.duration_s, rel=near_time)
            if told.elevation_gain_m is not None:
                assert told.elevation_gain_m == pytest.approx(recording.elevation_gain_m, rel=near_climb, abs=1)
