"""The climb of a track, computed from noisy elevations.

Barometers vary by decimetres and receivers by metres, many times a minute: the sum of all rises is mostly noise. So
each elevation is averaged with its neighbours, and a rise counts once it reaches STEP_M. Of the methods tried on files
that have the device's own figure beside the elevations, this one came closest.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, repeat
from operator import eq, sub, truediv

from fitness.adapters.files.points import Points
from fitness.domain.model.recordings import MAX_CLIMB_M_S

NEIGHBOURS = 5
"""The neighbours on each side of an elevation; fewer at the ends."""

STEP_M = 2.0

SETTLED_M = 20.0
"""The most that a barometer may vary at once."""


def climb_m(points: Points) -> float | None:
    """The climb in metres; None without two elevations.

    An altimeter that settles after the start, or that is set on the way, jumps: elevations on the two sides of a jump
    are not compared.
    """
    found = False
    climb = 0.0
    for elevations_m in _levels(points):
        if len(elevations_m) > 1:
            found = True
            climb += _rise_m(_smoothed(elevations_m))
    return climb if found else None


def _levels(points: Points) -> Iterator[list[float]]:
    """The known elevations, split where the recording was interrupted or where they jump."""
    if not points.cuts and _is_even(points.elevations_m):
        yield points.elevations_m.tolist()
        return
    level: list[float] = []
    cuts = {*points.cuts}
    before_s = before_m = 0.0
    for at, (time_s, elevation_m) in enumerate(zip(points.times_s, points.elevations_m, strict=True)):
        if elevation_m != elevation_m:
            continue
        if level and (at in cuts or abs(elevation_m - before_m) > SETTLED_M + MAX_CLIMB_M_S * (time_s - before_s)):
            yield level
            level = []
        level.append(elevation_m)
        before_s, before_m = time_s, elevation_m
    yield level


def _is_even(elevations_m: Sequence[float]) -> bool:
    """Whether all are known, and none is far from the one before."""
    known = all(map(eq, elevations_m, elevations_m))
    return known and max(map(abs, map(sub, islice(elevations_m, 1, None), elevations_m)), default=0.0) <= SETTLED_M


def _smoothed(elevations_m: Sequence[float]) -> Iterator[float]:
    """The mean of each elevation and as many neighbours on both sides; the first and the last stay as they are."""
    count, width = len(elevations_m), 2 * NEIGHBOURS + 1
    sums = [0.0, *accumulate(elevations_m)]
    for at in range(min(NEIGHBOURS, (count + 1) // 2)):
        yield (sums[2 * at + 1] - sums[0]) / (2 * at + 1)
    if count >= width:
        yield from map(truediv, map(sub, sums[width:], sums), repeat(width))
    for left in range(min(NEIGHBOURS, count // 2) - 1, -1, -1):
        yield (sums[count] - sums[count - 2 * left - 1]) / (2 * left + 1)


def _rise_m(elevations_m: Iterator[float]) -> float:
    """The sum of all rises of STEP_M or more, each from its lowest to its highest point."""
    rise = 0.0
    low = high = next(elevations_m)
    for elevation_m in elevations_m:
        if elevation_m > high:
            high = elevation_m
        elif elevation_m < high - STEP_M:
            if high - low >= STEP_M:
                rise += high - low
            low = high = elevation_m
        elif elevation_m < low:
            low = high = elevation_m
    return rise + (high - low if high - low >= STEP_M else 0.0)
