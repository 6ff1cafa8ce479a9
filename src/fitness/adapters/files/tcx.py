"""TCX files, Garmin's older format."""

from array import array
from dataclasses import dataclass
from datetime import UTC, datetime

from fitness.adapters.files.measures import climb_m, heart_rate
from fitness.adapters.files.sports import activity_type
from fitness.adapters.files.xml import Element, number
from fitness.domain.model.recordings import Recording, refuse_too_many
from fitness.domain.model.refusals import RecordingWithoutActivity, RecordingWithoutTimes


@dataclass(slots=True)
class _Laps:
    """An activity's laps so far, as sums."""

    sport: str | None
    count: int = 0
    started_at: datetime | None = None
    duration_s: float = 0.0
    distance_m: float | None = None
    calories_kcal: float | None = None
    beats: float = 0.0
    """The laps' average heart rates, each times its seconds."""
    beaten_s: float = 0.0
    highest_bpm: int | None = None


class TcxActivities:
    """A recording for each activity of a TCX file, made of its laps; `root` reads it, and then `recordings` tells."""

    def __init__(self) -> None:
        def amount(name: str) -> Element:
            return Element(text=lambda text: self._number(name, text))

        point = Element({"AltitudeMeters": Element(text=self._elevation)})
        lap = Element(
            {
                "TotalTimeSeconds": amount("TotalTimeSeconds"),
                "DistanceMeters": amount("DistanceMeters"),
                "Calories": amount("Calories"),
                "AverageHeartRateBpm": Element({"Value": amount("AverageHeartRateBpm")}),
                "MaximumHeartRateBpm": Element({"Value": amount("MaximumHeartRateBpm")}),
                "Track": Element({"Trackpoint": point}),
            },
            began=self._lap_began,
            ended=self._lap_ended,
        )
        activity = Element({"Lap": lap}, began=self._activity_began, ended=self._activity_ended)
        self.root = Element({"Activity": activity}, anywhere=True)
        self._any_laps = False
        self._found: list[Recording] = []
        self._numbers: dict[str, float] = {}
        self._elevations_m = array("d")
        self._laps = _Laps(None)

    def recordings(self) -> list[Recording]:
        """Raises RecordingWithoutActivity, RecordingWithoutTimes."""
        if not self._any_laps:
            raise RecordingWithoutActivity
        if not self._found:
            raise RecordingWithoutTimes
        return self._found

    def _activity_began(self, attributes: dict[str, str]) -> None:
        self._laps = _Laps(attributes.get("Sport"))
        self._elevations_m = array("d")

    def _lap_began(self, attributes: dict[str, str]) -> None:
        self._numbers = {}
        started_at = _moment(attributes.get("StartTime"))
        earliest = self._laps.started_at
        if started_at is not None and (earliest is None or started_at < earliest):
            self._laps.started_at = started_at

    def _number(self, name: str, text: str) -> None:
        if text:
            self._numbers.setdefault(name, number(text))

    def _elevation(self, text: str) -> None:
        if text:
            self._elevations_m.append(number(text))

    def _lap_ended(self) -> None:
        laps, told = self._laps, self._numbers
        lap_s = told.get("TotalTimeSeconds", 0.0)
        laps.count += 1
        laps.duration_s += lap_s
        laps.distance_m = _sum(laps.distance_m, told.get("DistanceMeters"))
        laps.calories_kcal = _sum(laps.calories_kcal, told.get("Calories"))
        average = told.get("AverageHeartRateBpm")
        if average is not None and heart_rate(average) is not None:
            laps.beats += average * lap_s
            laps.beaten_s += lap_s
        highest = heart_rate(told.get("MaximumHeartRateBpm"))
        if highest is not None:
            laps.highest_bpm = max(highest, laps.highest_bpm or highest)

    def _activity_ended(self) -> None:
        """Nothing comes of an activity without a start or a duration."""
        laps = self._laps
        self._any_laps = self._any_laps or laps.count > 0
        if laps.started_at is None or not laps.duration_s > 0:
            return
        recording = Recording(
            activity_type=activity_type(laps.sport),
            started_at=laps.started_at.astimezone(UTC),
            utc_offset=laps.started_at.utcoffset() or None,  # UTC says nothing of where it was
            duration_s=laps.duration_s,
            distance_m=laps.distance_m,
            elevation_gain_m=climb_m(self._elevations_m) if self._elevations_m else None,
            calories_kcal=None if laps.calories_kcal is None else round(laps.calories_kcal),
            average_heart_rate_bpm=heart_rate(laps.beats / laps.beaten_s if laps.beaten_s else None),
            max_heart_rate_bpm=laps.highest_bpm,
        )
        self._found.append(recording)
        refuse_too_many(self._found)


def _sum(one: float | None, other: float | None) -> float | None:
    return one if other is None else other + (one or 0.0)


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
