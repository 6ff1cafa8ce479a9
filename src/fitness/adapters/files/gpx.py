"""GPX files, the format of most apps and hand-held receivers."""

from dataclasses import dataclass, field
from datetime import timedelta

from msgspec import DecodeError

from fitness.adapters.files.clocks import moment, seconds
from fitness.adapters.files.numbers import number, numbers, usable_number
from fitness.adapters.files.points import UNKNOWN, Points, sound
from fitness.adapters.files.remarks import Remarks, counted
from fitness.adapters.files.sports import Sport, sport_of_track
from fitness.adapters.files.tracks import recording_of
from fitness.adapters.files.xml import Element
from fitness.domain.model.file_refusals import RecordingWithoutActivity, RecordingWithoutTimes
from fitness.domain.model.recordings import Recording, refuse_too_many

FOLLOWS_WITHIN_S = 3 * 3_600.0
"""The longest break between tracks of one recording: a receiver that is switched off and on begins another track."""


@dataclass(slots=True)
class _Track:
    """The state of a track while it is parsed."""

    number: int
    title: str | None = None
    sport_name: str | None = None
    points: Points = field(default_factory=Points)
    """The points that have a time."""
    utc_offset: timedelta | None = None
    seen: int = 0
    untimed: int = 0
    begins_timed: bool = False
    ends_timed: bool = False
    without_places: list[str] = field(default_factory=list)
    """The names of the tracks in `points` that have no known place."""

    @property
    def is_timed(self) -> bool:
        """Whether it is a recording. If a planned route was followed only at its end, the rest has no times."""
        ends = self.begins_timed and self.ends_timed
        return len(self.points) > 1 and (ends or self.untimed <= len(self.points))

    @property
    def sport(self) -> Sport:
        return sport_of_track(self.sport_name)

    def is_followed_by(self, other: "_Track") -> bool:
        if self.sport != other.sport:
            return False
        return 0 <= other.points.times_s[0] - self.points.times_s[-1] <= FOLLOWS_WITHIN_S

    def extend(self, other: "_Track") -> None:
        self.points.extend(other.points)
        self.without_places += other.without_places


class GpxTracks:
    """Makes a recording of each timed track of a GPX file: `root` reads the file, then `recordings` returns them."""

    def __init__(self, remarks: Remarks) -> None:
        point = Element(
            {
                "ele": Element(cell="ele"),
                "time": Element(cell="time"),
                "extensions": Element({"hr": Element(cell="hr")}, anywhere=True),
            },
            row=self._point,
        )
        track = Element(
            {
                "name": Element(text=self._name),
                "type": Element(text=self._type),
                "trkseg": Element({"trkpt": point}, began=self._segment_began),
            },
            began=self._track_began,
            ended=self._track_ended,
        )
        self.root = Element({"trk": track})
        self._remarks = remarks
        self._walked = False
        self._count = 0
        self._track = _Track(0)
        self._found: list[_Track] = []

    def recordings(self) -> list[Recording]:
        """Raises RecordingWithoutActivity, RecordingWithoutTimes."""
        if not self._walked:
            raise RecordingWithoutActivity
        for track in self._found:
            if track.points.first_place() is not None:
                for where in track.without_places:
                    self._remarks.add(where, "left out its distance, since it has no usable places")
        made = [recording for track in self._found if (recording := _recording(track)) is not None]
        if not made:
            raise RecordingWithoutTimes
        return made

    def _track_began(self, _: dict[str, str]) -> None:
        self._count += 1
        self._track = _Track(self._count)

    def _name(self, text: str) -> None:
        self._track.title = self._track.title or text

    def _type(self, text: str) -> None:
        self._track.sport_name = self._track.sport_name or text

    def _segment_began(self, _: dict[str, str]) -> None:
        self._track.points.cut()

    def _point(self, said: dict[str, str]) -> None:
        track = self._track
        points = track.points
        track.seen += 1
        time_s = seconds(said["time"]) if "time" in said else None
        if time_s is None:
            track.ends_timed = False
            track.untimed += 1
            return
        track.ends_timed = True
        if not points.times_s:
            track.begins_timed = track.seen == 1
            track.utc_offset = _utc_offset(said["time"])
        try:
            latitude, longitude = number(said["lat"]), number(said["lon"])
            elevation_m = number(said["ele"]) if "ele" in said else UNKNOWN
            heart_rate_bpm = number(said["hr"]) if "hr" in said else UNKNOWN
        except (KeyError, DecodeError):
            latitude, longitude, elevation_m = numbers(said, ("lat", "lon", "ele"))
            heart_rate_bpm = usable_number(said.get("hr"))
        points.add(time_s, latitude, longitude, elevation_m, UNKNOWN, heart_rate_bpm)

    def _track_ended(self) -> None:
        """Leave out a track without times. A track that follows the last one becomes a part of it."""
        track = self._track
        self._walked = self._walked or track.seen > 1
        where = f"track {track.number}"
        if not track.is_timed:
            self._remarks.add(where, "left out, since it has no times" if track.seen > 1 else None)
            return
        self._remarks.add(where, counted(track.untimed, "point", "without a time"))
        track.points = sound(track.points, self._remarks, where)
        if not track.points.elapsed_s > 0:
            return
        if track.points.first_place() is None:
            track.without_places.append(where)
        if self._found and self._found[-1].is_followed_by(track):
            self._found[-1].extend(track)
        else:
            self._found.append(track)
            refuse_too_many(self._found)


def _recording(track: _Track) -> Recording | None:
    return recording_of(track.points, track.sport, title=track.title, utc_offset=track.utc_offset)


def _utc_offset(text: str | None) -> timedelta | None:
    """None for UTC, which is written by devices that do not know where they are."""
    at = moment(text)
    return at.utcoffset() or None if at is not None else None
