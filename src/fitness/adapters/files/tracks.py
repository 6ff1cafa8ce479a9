"""A recording made of the points of a track."""

from datetime import UTC, datetime, timedelta

from fitness.adapters.files.climb import climb_m
from fitness.adapters.files.measures import heart_rates
from fitness.adapters.files.motion import motion_s, steps_of, way_m
from fitness.adapters.files.places import zone_at
from fitness.adapters.files.points import Points
from fitness.adapters.files.sports import Sport
from fitness.domain.model.recordings import Recording


def recording_of(
    points: Points, sport: Sport, *, title: str | None = None, utc_offset: timedelta | None = None
) -> Recording | None:
    """A recording of sound points; None if they span no time."""
    if points.elapsed_s <= 0:
        return None
    average, highest = heart_rates(points.heart_rates_bpm)
    place, steps = points.first_place(), steps_of(points)
    return Recording(
        activity_type=sport.activity_type,
        started_at=datetime.fromtimestamp(points.times_s[0], UTC),
        utc_offset=utc_offset,
        duration_s=motion_s(points, steps, sport.activity_type),
        elapsed_s=points.elapsed_s,
        title=title,
        distance_m=way_m(points, steps),
        elevation_gain_m=climb_m(points),
        average_heart_rate_bpm=average,
        max_heart_rate_bpm=highest,
        is_indoor=is_indoor(sport, place),
        place_zone=None if sport.indoor else zone_at(place),
    )


def is_indoor(sport: Sport, place: tuple[float, float] | None) -> bool | None:
    """Decided by the sport's name; else an activity with a known place was outdoors. None if not known."""
    return sport.indoor if sport.indoor is not None or place is None else False
