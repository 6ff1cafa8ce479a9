"""The points of a track as columns of numbers, and the removal of values that make no sense."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from math import cos, radians, sqrt
from operator import eq, le

from fitness.adapters.files.measures import DEGREE_M, FAR_DEGREES, distance_m
from fitness.adapters.files.remarks import Remarks, counted
from fitness.domain.model.recordings import MAX_SPEED_M_S

UNKNOWN = float("nan")

MAX_SPAN_S = 30 * 86_400.0
"""The length of the longest activity."""

LONGEST_PAUSE_S = 2 * 86_400.0
"""The longest pause of a tour in one recording: longer than two nights with a day of rest between them."""

NO_FIX_DEGREES = 0.001
"""A receiver that shows a place so close to 0° N, 0° E does not know where it is."""

_ELEVATIONS_M = -1_000.0, 12_000.0
_DISTANCES_M = 0.0, 2_000_000.0

_MANY = 10
"""So many points that agree with one another show where somebody was. Fewer may be an error."""


class Points:
    """Each column has one entry for each point that has a time. Other values that are not known are NaN."""

    __slots__ = (
        "cuts", "distances_m", "elevations_m", "heart_rates_bpm", "latitudes", "longitudes", "pieces_m", "times_s",
        "without_fix", "without_place",
    )  # fmt: skip

    def __init__(self) -> None:
        self.times_s = array("d")
        """Seconds since 1970, in UTC."""
        self.latitudes = array("d")
        self.longitudes = array("d")
        self.elevations_m = array("d")
        self.distances_m = array("d")
        """Distances since the start, by the device."""
        self.heart_rates_bpm = array("d")
        self.cuts: list[int] = []
        """Positions before which the recording was interrupted."""
        self.pieces_m: list[float] | None = None
        """The result of the function `pieces_m`, once it is computed."""
        self.without_place = 0
        """The number of points whose place is not known."""
        self.without_fix = 0
        """The number of these whose place is not on Earth, or is 0° N, 0° E."""

    def __len__(self) -> int:
        return len(self.times_s)

    def add(
        self,
        time_s: float,
        latitude: float,
        longitude: float,
        elevation_m: float = UNKNOWN,
        distance_m: float = UNKNOWN,
        heart_rate_bpm: float = UNKNOWN,
    ) -> None:
        if not (-90.0 <= latitude <= 90.0 and -180.0 <= longitude <= 180.0) or (
            -NO_FIX_DEGREES < latitude < NO_FIX_DEGREES and -NO_FIX_DEGREES < longitude < NO_FIX_DEGREES
        ):
            self.without_place += 1
            self.without_fix += latitude == latitude and longitude == longitude
            latitude = longitude = UNKNOWN
        self.times_s.append(time_s)
        self.latitudes.append(latitude)
        self.longitudes.append(longitude)
        self.elevations_m.append(elevation_m)
        self.distances_m.append(distance_m)
        self.heart_rates_bpm.append(heart_rate_bpm)

    def cut(self) -> None:
        """Note that the recording was interrupted between the last point and the next one."""
        if len(self) and self.cuts[-1:] != [len(self)]:
            self.cuts.append(len(self))

    def columns(self) -> tuple["array[float]", ...]:
        return (
            self.times_s, self.latitudes, self.longitudes, self.elevations_m, self.distances_m, self.heart_rates_bpm,
        )  # fmt: skip

    def kept(self, positions: Sequence[int]) -> "Points":
        """Only the points at the ascending `positions`."""
        points = Points()
        for column, old in zip(points.columns(), self.columns(), strict=True):
            column.extend(map(old.__getitem__, positions))
        cuts = dict.fromkeys(bisect_right(positions, cut - 1) for cut in self.cuts)
        points.cuts = [cut for cut in cuts if 0 < cut < len(positions)]
        points.without_place = self.without_place
        return points

    def between(self, first_s: float, last_s: float) -> "Points":
        """The points between two times, both inclusive; the points must be in order."""
        first, last = bisect_left(self.times_s, first_s), bisect_right(self.times_s, last_s)
        return self if (first, last) == (0, len(self)) else self.kept(range(first, last))

    def extend(self, others: "Points") -> None:
        """Append other points, with a cut before them."""
        before = len(self)
        self.cuts += [before, *(before + cut for cut in others.cuts)]
        for column, new in zip(self.columns(), others.columns(), strict=True):
            column.extend(new)
        self.without_place += others.without_place
        self.pieces_m = None

    @property
    def elapsed_s(self) -> float:
        return self.times_s[-1] - self.times_s[0] if self else 0.0

    def first_place(self) -> tuple[float, float] | None:
        """The first known latitude and longitude; None without any."""
        places = zip(self.latitudes, self.longitudes, strict=True)
        return next((place for place in places if place[0] == place[0]), None)


def sound(points: Points, remarks: Remarks, where: str) -> Points:
    """The points whose times ascend, without impossible places, elevations and distances.

    Places and distances that are not known are interpolated, as if the speed were steady. So each of these columns is
    known in full or not at all.
    """
    remarks.add(where, counted(points.without_fix, "place", "off the globe or at 0° N, 0° E"))
    points = _of_one_time(points, remarks, where)
    points = _in_order(points, remarks, where)
    remarks.add(where, counted(_forget_far_places(points), "place", "too far from the others"))
    for name, column, (lowest, highest) in (
        ("elevation", points.elevations_m, _ELEVATIONS_M),
        ("distance", points.distances_m, _DISTANCES_M),
    ):
        remarks.add(where, counted(_forget_beyond(column, lowest, highest), f"impossible {name}"))
    if points.without_place:
        _fill(points.latitudes, points.times_s)
        _fill(points.longitudes, points.times_s)
    _fill(points.distances_m, points.times_s)
    return points


def _of_one_time(points: Points, remarks: Remarks, where: str) -> Points:
    """The points within 30 days of the middle one: watches that lost the time write 1970, 1990 or the far future. A
    clock may also be some days slow before the receiver sets it: the few points made with it are left out as well.
    """
    if not points or max(points.times_s) - min(points.times_s) <= LONGEST_PAUSE_S:
        return points
    in_order = sorted(points.times_s)
    middle_s = in_order[(len(points) - 1) // 2]
    first_s, last_s = _without_few_apart([time_s for time_s in in_order if abs(time_s - middle_s) <= MAX_SPAN_S])
    kept = [at for at, time_s in enumerate(points.times_s) if first_s <= time_s <= last_s]
    if len(kept) == len(points):
        return points
    remarks.add(where, counted(len(points) - len(kept), "point", "dated far from the others"))
    return points.kept(kept)


def _without_few_apart(times_s: Sequence[float]) -> tuple[float, float]:
    """The first and the last of the ascending `times_s`, without a few at each end that a gap of more than
    LONGEST_PAUSE_S separates from the rest: fewer than _MANY, and at most a tenth. If the rest has such a gap itself,
    the recording has such pauses, and all of it counts.
    """
    few = min(_MANY - 1, len(times_s) // 10)
    gaps = [at for at in range(1, len(times_s)) if times_s[at] - times_s[at - 1] > LONGEST_PAUSE_S]
    if all(at <= few or at >= len(times_s) - few for at in gaps):
        first = max((at for at in gaps if at <= few), default=0)
        last = min((at for at in gaps if at > few), default=len(times_s)) - 1
    else:
        first, last = 0, len(times_s) - 1
    return times_s[first], times_s[last]


def _in_order(points: Points, remarks: Remarks, where: str) -> Points:
    """The points whose times ascend, with as few left out as possible."""
    times_s = points.times_s
    if all(map(le, times_s, islice(times_s, 1, None))):
        return points
    kept = longest_ascent(times_s)
    remarks.add(where, counted(len(points) - len(kept), "point", "whose time goes back"))
    return points.kept(kept)


def longest_ascent(values: Sequence[float]) -> list[int]:
    """Positions of the longest subsequence of `values` that never falls."""
    lowest_ends: list[float] = []
    ends_at: list[int] = []
    before: list[int] = []
    for at, value in enumerate(values):
        length = bisect_right(lowest_ends, value)
        before.append(ends_at[length - 1] if length else -1)
        if length == len(lowest_ends):
            lowest_ends.append(value)
            ends_at.append(at)
        else:
            lowest_ends[length] = value
            ends_at[length] = at
    picked = []
    at = ends_at[-1] if ends_at else -1
    while at >= 0:
        picked.append(at)
        at = before[at]
    return picked[::-1]


def pieces_m(points: Points) -> list[float]:
    """The metres from each point to the next one, along the ground; NaN if a place is not known."""
    pieces = []
    before_latitude = before_longitude = UNKNOWN
    for latitude, longitude in zip(points.latitudes, points.longitudes, strict=True):
        north, east = latitude - before_latitude, longitude - before_longitude
        if -FAR_DEGREES <= north <= FAR_DEGREES and -FAR_DEGREES <= east <= FAR_DEGREES:
            east *= cos(radians(latitude))
            pieces.append(sqrt(north * north + east * east) * DEGREE_M)  # as `distance_m`, without a call
        else:
            pieces.append(distance_m(latitude, longitude, before_latitude, before_longitude))
        before_latitude, before_longitude = latitude, longitude
    return pieces[1:]


def _forget_far_places(points: Points) -> int:
    """Forget the places in short stretches of points that only a jump connects to longer ones; how many there were."""
    if not points.without_place:
        points.pieces_m = pieces_m(points)
        if max(points.pieces_m, default=0.0) <= MAX_SPEED_M_S:
            return 0
        points.pieces_m = None
    stretches = list(_stretches(points))
    few = min(_MANY, max(map(len, stretches), default=0))
    nearest = next((stretch for stretch in stretches if len(stretch) >= few), [])
    far: list[int] = []
    for stretch in stretches:
        if len(stretch) >= few:
            nearest = stretch
        elif _jumps(points, *sorted((nearest[-1] if nearest[-1] < stretch[0] else nearest[0], stretch[0]))):
            far += stretch
    for at in far:
        points.latitudes[at] = points.longitudes[at] = UNKNOWN
    points.without_place += len(far)
    return len(far)


def _stretches(points: Points) -> Iterator[Sequence[int]]:
    """Positions of successive points with places, split where the way to the next one is a jump."""
    stretch: list[int] = []
    for at, latitude in enumerate(points.latitudes):
        if latitude == latitude:
            if stretch and _jumps(points, stretch[-1], at):
                yield stretch
                stretch = []
            stretch.append(at)
    if stretch:
        yield stretch


def _jumps(points: Points, one: int, other: int) -> bool:
    """Whether the way between the two points is too far for the time."""
    far_m = distance_m(points.latitudes[other], points.longitudes[other], points.latitudes[one], points.longitudes[one])
    return far_m > MAX_SPEED_M_S * (points.times_s[other] - points.times_s[one] + 1)


def _forget_beyond(column: "array[float]", lowest: float, highest: float) -> int:
    """Forget the values beyond the two bounds; how many there were."""
    # NaN is neither less nor more than anything: `min` and `max` pass over it, or return it if it comes first.
    if _nothing_known(column) or (lowest <= min(column) and max(column) <= highest):
        return 0
    absurd = [at for at, value in enumerate(column) if not lowest <= value <= highest and value == value]
    for at in absurd:
        column[at] = UNKNOWN
    return len(absurd)


def _nothing_known(column: "array[float]") -> bool:
    return True not in map(eq, column, column)


def _fill(column: "array[float]", times_s: Sequence[float]) -> None:
    """Interpolate unknown values; repeat the first and last known ones at the ends; forget all if fewer than two."""
    if _nothing_known(column) or (len(column) > 1 and all(map(eq, column, column))):
        return
    known = [at for at, value in enumerate(column) if value == value]
    if len(known) < 2:
        column[:] = array("d", [UNKNOWN]) * len(column)
        return
    first, last = known[0], known[-1]
    column[:first] = array("d", [column[first]]) * first
    column[last + 1 :] = array("d", [column[last]]) * (len(column) - last - 1)
    for before, after in pairwise(known):
        if after - before > 1:
            slope = (column[after] - column[before]) / ((times_s[after] - times_s[before]) or 1.0)
            for at in range(before + 1, after):
                column[at] = column[before] + slope * (times_s[at] - times_s[before])
