"""The time in motion on a track, and its distance."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from fitness.adapters.files.measures import distance_m
from fitness.adapters.files.points import Points, pieces_m
from fitness.domain.model.activities import ActivityType
from fitness.domain.model.recordings import MAX_SPEED_M_S

SLOWEST_M_S: Mapping[ActivityType, float] = {
    **dict.fromkeys(
        (ActivityType.RIDE, ActivityType.GRAVEL_RIDE, ActivityType.MOUNTAIN_BIKE_RIDE, ActivityType.E_BIKE_RIDE,
         ActivityType.E_MOUNTAIN_BIKE_RIDE, ActivityType.VELOMOBILE, ActivityType.HANDCYCLE, ActivityType.INLINE_SKATE,
         ActivityType.ROLLER_SKI, ActivityType.SKATEBOARD), 0.7,
    ),
    **dict.fromkeys((ActivityType.RUN, ActivityType.TRAIL_RUN, ActivityType.WHEELCHAIR), 0.5),
    ActivityType.SWIM: 0.1,
}  # fmt: skip
"""A slower speed is standing still: people who wait walk about, and positions from their receivers drift."""

SLOWEST_OF_OTHERS_M_S = 0.25

WITHOUT_SPEED = frozenset(
    (ActivityType.BADMINTON, ActivityType.BASKETBALL, ActivityType.CRICKET, ActivityType.CROSSFIT, ActivityType.DANCE,
     ActivityType.ELLIPTICAL, ActivityType.GOLF, ActivityType.HIGH_INTENSITY_INTERVAL_TRAINING, ActivityType.PADEL,
     ActivityType.PHYSICAL_THERAPY, ActivityType.PICKLEBALL, ActivityType.PILATES, ActivityType.RACQUETBALL,
     ActivityType.ROCK_CLIMBING, ActivityType.SOCCER, ActivityType.SQUASH, ActivityType.STAIR_STEPPER,
     ActivityType.TABLE_TENNIS, ActivityType.TENNIS, ActivityType.VOLLEYBALL, ActivityType.WEIGHT_TRAINING,
     ActivityType.YOGA)
)  # fmt: skip
"""In these sports a person moves even on one spot."""

SURELY = 3.0
"""Above so many times the slowest speed, a step from one point to the next is not a receiver's error."""

AROUND_S = 10.0
"""The time before and after a step that is looked at too: over so long, somebody who moves goes much farther than a
receiver's error."""

LONG_GAP_S = 300.0
"""A longer gap between two points is a pause, if the speed is not known."""


Steps = Sequence[float] | None
"""The metres from each point to the next one. None if neither the device's distances nor places are known; a step is
NaN if they are known only in other parts of the recording."""


def way_m(points: Points, steps: Steps) -> float | None:
    """The distance in metres, without steps across cuts; None if it is not known."""
    if steps is None:
        return None
    cuts = {cut - 1 for cut in points.cuts}
    return sum(step for at, step in enumerate(steps) if step == step and at not in cuts) if cuts else sum(steps)


def motion_s(points: Points, steps: Steps, sport: ActivityType) -> float:
    """The elapsed time without the time between two parts of a recording, and without pauses.

    If nothing moves at all, pauses count as motion: then the threshold is wrong, not the person.
    """
    times_s = points.times_s
    lasted = [later - sooner for sooner, later in pairwise(times_s)]
    for cut in points.cuts:
        lasted[cut - 1] = 0.0
    if steps is None or sport in WITHOUT_SPEED:
        return sum(second for second in lasted if second <= LONG_GAP_S) or sum(lasted)
    slowest = SLOWEST_M_S.get(sport, SLOWEST_OF_OTHERS_M_S)
    return _moving_s(points, lasted, steps, slowest) or sum(lasted)


def _moving_s(points: Points, lasted: Sequence[float], steps: Sequence[float], slowest_m_s: float) -> float:
    """`first` and `last` only move forward, so that this takes no longer if many points share a second."""
    times_s = points.times_s
    surely = SURELY * slowest_m_s
    moved = 0.0
    first = last = 0
    for at, (seconds, step) in enumerate(zip(lasted, steps, strict=True)):
        if seconds >= 1 and step > surely * seconds:
            moved += seconds
        elif step != step:
            moved += seconds if seconds <= LONG_GAP_S else 0.0
        elif seconds > 0:
            while times_s[first] < times_s[at] - AROUND_S:
                first += 1
            last = max(last, at + 1)
            while last + 1 < len(times_s) and times_s[last + 1] <= times_s[at + 1] + AROUND_S:
                last += 1
            # The distance is NaN if the next part begins within AROUND_S and has no known place.
            if not _far_m(points, first, last) < slowest_m_s * (times_s[last] - times_s[first]):
                moved += seconds
    return moved


def _far_m(points: Points, first: int, last: int) -> float:
    """The distance by the device, else in a straight line."""
    if _has_distances(points):
        return points.distances_m[last] - points.distances_m[first]
    return distance_m(
        points.latitudes[last], points.longitudes[last], points.latitudes[first], points.longitudes[first]
    )


def steps_of(points: Points) -> Steps:
    """The steps by the device's distances if it has any, else from place to place. A jump is a step of 0."""
    if _has_distances(points):
        return _told_steps(points)
    if points.first_place() is None:
        return None
    steps = pieces_m(points) if points.pieces_m is None else points.pieces_m
    if not max(steps, default=0.0) <= MAX_SPEED_M_S:  # a NaN that is the first is the maximum
        times_s = points.times_s
        for at, step in enumerate(steps):
            if step > MAX_SPEED_M_S * (times_s[at + 1] - times_s[at] + 1):
                steps[at] = 0.0
    return steps


def _told_steps(points: Points) -> list[float]:
    """The steps by the device's distances, each only beyond the furthest before, so that nothing counts twice if the
    device falls back once. If it jumps and goes on from there, the jump is a step of 0."""
    steps = []
    before_m = furthest_m = points.distances_m[0]
    for (sooner_s, later_s), told_m in zip(pairwise(points.times_s), points.distances_m[1:], strict=True):
        most_m = MAX_SPEED_M_S * (later_s - sooner_s + 1)
        step = told_m - furthest_m
        if step > most_m:
            step = told_m - before_m if 0 <= told_m - before_m <= most_m else 0.0
            furthest_m = told_m if step else furthest_m
        else:
            step = max(0.0, step)
            furthest_m += step
        steps.append(step)
        before_m = told_m
    return steps


def _has_distances(points: Points) -> bool:
    """Whether sound points have the device's distances: all have or none has, since joined tracks have none."""
    return bool(points.distances_m) and points.distances_m[0] == points.distances_m[0]
