"""GPX files, the format of most apps and hand-held receivers."""

import re
from array import array
from datetime import UTC, datetime, timedelta, timezone
from math import isfinite

from fitness.adapters.files.measures import climb_m, distance_m, heart_rates
from fitness.adapters.files.sports import activity_type
from fitness.adapters.files.xml import Element, number
from fitness.domain.model.recordings import Recording, refuse_too_many
from fitness.domain.model.refusals import RecordingWithoutActivity, RecordingWithoutTimes

_TIME = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})[T ](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,15}))?(?:Z|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)


class GpxTracks:
    """A recording for each timed track of a GPX file; `root` reads it, and after that `recordings` tells.

    Of a track only the sums are kept, with eight bytes for each elevation and heart rate.
    """

    def __init__(self) -> None:
        heart_rate = Element(text=self._heart_rate)
        point = Element(
            {
                "ele": Element(text=self._elevation),
                "time": Element(text=self._time),
                "extensions": Element({"hr": heart_rate}, anywhere=True),
            },
            began=self._point_began,
        )
        segment = Element({"trkpt": point}, ended=self._segment_ended)
        track = Element(
            {"name": Element(text=self._name), "type": Element(text=self._type), "trkseg": segment},
            began=self._track_began,
            ended=self._track_ended,
        )
        self.root = Element({"trk": track})
        self._walked = False
        self._found: list[Recording] = []

    def recordings(self) -> list[Recording]:
        """Raises RecordingWithoutActivity, RecordingWithoutTimes."""
        if not self._walked:
            raise RecordingWithoutActivity
        if not self._found:
            raise RecordingWithoutTimes
        return self._found

    def _track_began(self, _: dict[str, str]) -> None:
        self._title: str | None = None
        self._sport: str | None = None
        self._points = 0
        self._first_time: str | None = None
        self._last_time: str | None = None
        self._here: tuple[float, float] | None = None
        self._segment_m = self._distance_m = 0.0
        self._elevations_m = array("d")
        self._climb_m = 0.0
        self._has_elevations = False
        self._heart_rates_bpm = array("d")

    def _name(self, text: str) -> None:
        self._title = self._title or text

    def _type(self, text: str) -> None:
        self._sport = self._sport or text

    def _point_began(self, attributes: dict[str, str]) -> None:
        before = self._here
        self._here = here = number(attributes["lat"]), number(attributes["lon"])
        if before is not None:
            self._segment_m += distance_m(*here, *before)
        self._points += 1
        self._last_time = None

    def _elevation(self, text: str) -> None:
        if text:
            self._elevations_m.append(number(text))

    def _time(self, text: str) -> None:
        self._last_time = text
        if self._points == 1:
            self._first_time = text

    def _heart_rate(self, text: str) -> None:
        if text.isdecimal():
            self._heart_rates_bpm.append(number(text))

    def _segment_ended(self) -> None:
        self._here = None
        self._distance_m += self._segment_m
        self._segment_m = 0.0
        self._has_elevations = self._has_elevations or bool(self._elevations_m)
        self._climb_m += climb_m(self._elevations_m)
        self._elevations_m = array("d")

    def _track_ended(self) -> None:
        """Nothing comes of a track whose first and last points have no times, or times that give no duration."""
        if self._points < 2:
            return
        self._walked = True
        first, last = _moment(self._first_time), _moment(self._last_time)
        if first is None or last is None or last <= first:
            return
        average, highest = heart_rates(self._heart_rates_bpm)
        recording = Recording(
            activity_type=activity_type(self._sport),
            started_at=first.astimezone(UTC),
            utc_offset=first.utcoffset() or None,  # UTC is what devices write that do not know where they are
            duration_s=(last - first).total_seconds(),
            title=self._title,
            distance_m=self._distance_m if isfinite(self._distance_m) else None,
            elevation_gain_m=self._climb_m if self._has_elevations and isfinite(self._climb_m) else None,
            average_heart_rate_bpm=average,
            max_heart_rate_bpm=highest,
        )
        self._found.append(recording)
        refuse_too_many(self._found)


def _moment(text: str | None) -> datetime | None:
    """None where there is no such time. GPX times without an offset are in UTC."""
    parts = _TIME.fullmatch(text or "")
    if parts is None:
        return None
    *numbers, fraction, sign, hours, minutes = parts.groups()
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    zone = timezone(-offset if sign == "-" else offset)
    try:
        year, month, day, hour, minute, second = map(int, numbers)
        return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone)
    except ValueError:
        return None
