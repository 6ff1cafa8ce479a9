"""TCX files, Garmin's older format."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from msgspec import DecodeError

from fitness.adapters.files.clocks import moment, seconds
from fitness.adapters.files.measures import heart_rate, heart_rates
from fitness.adapters.files.motion import motion_s, steps_of
from fitness.adapters.files.numbers import number, numbers, usable_number
from fitness.adapters.files.points import MAX_SPAN_S, UNKNOWN, Points, sound
from fitness.adapters.files.remarks import Remarks, counted, impossible
from fitness.adapters.files.sports import Sport, sport_named
from fitness.adapters.files.tracks import is_indoor, recording_of
from fitness.adapters.files.xml import Element
from fitness.domain.model.file_refusals import RecordingWithoutActivity, RecordingWithoutTimes
from fitness.domain.model.recordings import Recording, refuse_too_many

TIMER_TOLERANCE_S = 2.0
TIMER_TOLERANCE = 0.02
"""A timer that shows less than the time from start to end, by more than both tolerances, was stopped in pauses."""

FIRST_POINT_WITHIN_S = 3_600.0
"""The longest time from the start of the first lap to the first point."""

TIMER_BEYOND_TRACK_S = 600.0
"""A timer that ran so much longer than the track is wrong."""
_MANY_POINTS = 10

_POINT = ("latitude", "longitude", "elevation", "distance", "heart rate")

_BOUNDS = {
    "TotalTimeSeconds": (0.0, MAX_SPAN_S, "time", "s"),
    "DistanceMeters": (0.0, 2_000_000.0, "distance", "m"),
    "Calories": (0.0, 50_000.0, "calories", "kcal"),
    "AverageHeartRateBpm": (0.0, 250.0, "average heart rate", "bpm"),
    "MaximumHeartRateBpm": (0.0, 250.0, "maximum heart rate", "bpm"),
}


@dataclass(slots=True)
class _Activity:
    """An activity's laps so far, as sums, and all of its points."""

    number: int
    sport: Sport
    points: Points = field(default_factory=Points)
    untimed: int = 0
    laps: int = 0
    started_at: datetime | None = None
    timer_s: float = 0.0
    laps_without_time: int = 0
    distance_m: float | None = None
    laps_without_distance: int = 0
    calories_kcal: float | None = None
    beats: float = 0.0
    """The sum of the laps' average heart rates, each times the seconds of its lap."""
    beaten_s: float = 0.0
    highest_bpm: int | None = None

    @property
    def where(self) -> str:
        return f"activity {self.number}"


class TcxActivities:
    """Makes a recording of each activity of a TCX file: `root` reads the file, then `recordings` returns them.

    Values that the laps lack are computed from their points.
    """

    def __init__(self, remarks: Remarks) -> None:
        self._remarks = remarks
        self._any_laps = False
        self._count = 0
        self._found: list[Recording] = []
        self._told: dict[str, float] = {}
        self._lap_begins = 0
        self._event: int | None = None
        """The number of the session of several sports that is being read; None outside of one."""
        self._tracks = 0
        self._activity = _Activity(0, sport_named(None))
        activity = self._activity_element()
        several = Element({"Activity": activity}, began=self._several_began, ended=self._several_ended, anywhere=True)
        self.root = Element({"Activity": activity, "MultiSportSession": several}, anywhere=True)

    def _activity_element(self) -> Element:
        def told(name: str) -> Element:
            return Element(text=lambda text: self._tell(name, text))

        lap = Element(
            {
                "TotalTimeSeconds": told("TotalTimeSeconds"),
                "DistanceMeters": told("DistanceMeters"),
                "Calories": told("Calories"),
                "AverageHeartRateBpm": Element({"Value": told("AverageHeartRateBpm")}),
                "MaximumHeartRateBpm": Element({"Value": told("MaximumHeartRateBpm")}),
                "Track": Element({"Trackpoint": self._point_element()}, began=self._track_began),
            },
            began=self._lap_began,
            ended=self._lap_ended,
        )
        return Element({"Lap": lap}, began=self._activity_began, ended=self._activity_ended)

    def _point_element(self) -> Element:
        return Element(
            {
                "Time": Element(cell="time"),
                "Position": Element(
                    {"LatitudeDegrees": Element(cell="latitude"), "LongitudeDegrees": Element(cell="longitude")}
                ),
                "AltitudeMeters": Element(cell="elevation"),
                "DistanceMeters": Element(cell="distance"),
                "HeartRateBpm": Element({"Value": Element(cell="heart rate")}),
            },
            row=self._point,
        )

    def recordings(self) -> list[Recording]:
        """Raises RecordingWithoutActivity, RecordingWithoutTimes."""
        if not self._any_laps:
            raise RecordingWithoutActivity
        if not self._found:
            raise RecordingWithoutTimes
        return self._found

    def _several_began(self, _: dict[str, str]) -> None:
        self._event = len(self._found)

    def _several_ended(self) -> None:
        self._event = None

    def _activity_began(self, attributes: dict[str, str]) -> None:
        self._count += 1
        self._activity = _Activity(self._count, sport_named(attributes.get("Sport")))

    def _lap_began(self, attributes: dict[str, str]) -> None:
        self._told = {}
        self._tracks = 0
        self._lap_begins = len(self._activity.points)
        started_at = moment(attributes.get("StartTime"))
        earliest = self._activity.started_at
        if started_at is not None and (earliest is None or started_at < earliest):
            self._activity.started_at = started_at

    def _tell(self, name: str, text: str) -> None:
        """Keep a value of the lap. Impossible values are left out."""
        lowest, highest, words, unit = _BOUNDS[name]
        value = usable_number(text)
        if lowest <= value <= highest:
            self._told.setdefault(name, value)
        elif text:
            where = f"{self._activity.where}, lap {self._activity.laps + 1}"
            said = impossible(words, value, unit) if value == value else f"left out the {words}, which is no number"
            self._remarks.add(where, said)

    def _track_began(self, _: dict[str, str]) -> None:
        """Within a lap, each further track begins after a pause."""
        self._tracks += 1
        if self._tracks > 1:
            self._activity.points.cut()

    def _point(self, said: dict[str, str]) -> None:
        activity = self._activity
        time_s = seconds(said["time"]) if "time" in said else None
        if time_s is None:
            activity.untimed += 1
            return
        try:
            values = [number(said[name]) if name in said else UNKNOWN for name in _POINT]
        except DecodeError:
            values = numbers(said, _POINT)
        activity.points.add(time_s, *values)

    def _lap_ended(self) -> None:
        activity, told = self._activity, self._told
        timer_s = told.get("TotalTimeSeconds") or 0.0
        activity.laps += 1
        activity.timer_s += timer_s
        activity.laps_without_time += not timer_s
        activity.distance_m = _sum(activity.distance_m, told.get("DistanceMeters"))
        activity.laps_without_distance += "DistanceMeters" not in told
        activity.calories_kcal = _sum(activity.calories_kcal, told.get("Calories"))
        self._add_heart_rates(told, timer_s or len(activity.points) - self._lap_begins)

    def _add_heart_rates(self, told: dict[str, float], weight: float) -> None:
        """Add a lap's heart rates. `weight` is how long the lap took."""
        activity = self._activity
        average, highest = told.get("AverageHeartRateBpm"), heart_rate(told.get("MaximumHeartRateBpm"))
        if heart_rate(average) is None or highest is None:
            in_points = activity.points.heart_rates_bpm[self._lap_begins :]
            average_in_points, highest_in_points = heart_rates(in_points)
            average = average if heart_rate(average) is not None else average_in_points
            highest = highest or highest_in_points
        if average is not None and heart_rate(average) is not None:
            activity.beats += average * weight
            activity.beaten_s += weight
        if highest is not None:
            activity.highest_bpm = max(highest, activity.highest_bpm or highest)

    def _activity_ended(self) -> None:
        """Make the activity's recording. An activity without a start or a duration is left out."""
        activity = self._activity
        if not activity.laps:
            return
        self._any_laps = True
        self._remarks.add(activity.where, counted(activity.untimed, "point", "without a time"))
        activity.points = sound(activity.points, self._remarks, activity.where)
        self._judge_timer()
        recording = _recording(activity)
        if recording is not None:
            self._found.append(replace(recording, event=self._event))
            refuse_too_many(self._found)
        else:
            self._remarks.add(activity.where, "left out, since it has no times")

    def _judge_timer(self) -> None:
        activity = self._activity
        longest_s = activity.points.elapsed_s * 1.1 + TIMER_BEYOND_TRACK_S
        if len(activity.points) >= _MANY_POINTS and activity.timer_s > longest_s:
            self._remarks.add(activity.where, impossible("time", activity.timer_s, "s"))
            activity.timer_s, activity.laps_without_time = 0.0, activity.laps


def _recording(activity: _Activity) -> Recording | None:
    started_at, elapsed_s = _span(activity)
    if started_at is None or not elapsed_s > 0:
        return None
    whole = recording_of(activity.points, activity.sport) or Recording(
        activity_type=activity.sport.activity_type,
        started_at=started_at,
        utc_offset=None,
        duration_s=elapsed_s,
        is_indoor=is_indoor(activity.sport, None),
    )
    in_points = activity.points.elapsed_s > 0
    return replace(
        whole,
        started_at=started_at.astimezone(UTC),
        utc_offset=started_at.utcoffset() or None,  # UTC says nothing about the place
        duration_s=whole.duration_s if activity.laps_without_time and in_points else _timer_s(activity, elapsed_s),
        elapsed_s=elapsed_s,
        distance_m=whole.distance_m if activity.laps_without_distance and in_points else activity.distance_m,
        calories_kcal=None if activity.calories_kcal is None else round(activity.calories_kcal),
        average_heart_rate_bpm=heart_rate(activity.beats / activity.beaten_s if activity.beaten_s else None),
        max_heart_rate_bpm=activity.highest_bpm,
    )


def _span(activity: _Activity) -> tuple[datetime | None, float]:
    """The start, and the seconds from start to end with all pauses."""
    points, started_at = activity.points, activity.started_at
    if not points:
        return started_at, activity.timer_s
    begin_s, end_s = points.times_s[0], points.times_s[-1]
    if started_at is None or not 0 <= begin_s - started_at.timestamp() <= FIRST_POINT_WITHIN_S:
        started_at = datetime.fromtimestamp(begin_s, started_at.tzinfo if started_at else UTC)
    return started_at, max(activity.timer_s, end_s - started_at.timestamp())


def _timer_s(activity: _Activity, elapsed_s: float) -> float:
    """The seconds without pauses. Some devices stop the laps' timer in pauses; for others the track shows pauses."""
    if activity.timer_s < elapsed_s * (1 - TIMER_TOLERANCE) - TIMER_TOLERANCE_S:
        return activity.timer_s
    points = activity.points
    paused_s = points.elapsed_s - motion_s(points, steps_of(points), activity.sport.activity_type)
    paused = TIMER_TOLERANCE * activity.timer_s < paused_s < activity.timer_s
    return activity.timer_s - paused_s if paused else activity.timer_s


def _sum(one: float | None, other: float | None) -> float | None:
    return one if other is None else other + (one or 0.0)
