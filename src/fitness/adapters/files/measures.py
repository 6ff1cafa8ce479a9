"""Heart rates as devices give them, without impossible values, and distances between places."""

import math
from collections.abc import Sequence

EARTH_RADIUS_M = 6_378_137.0
DEGREE_M = math.tau * EARTH_RADIUS_M / 360

LOWEST_BPM, HIGHEST_BPM = 20, 250
"""The range of a heart rate during exercise."""

FAR_DEGREES = 0.2
"""Up to this difference of degrees, the globe counts as flat."""


def heart_rate(bpm: float | None) -> int | None:
    """None if no sensor was worn, which devices write as 0, or if the value is impossible."""
    return round(bpm) if bpm is not None and LOWEST_BPM <= bpm <= HIGHEST_BPM else None


def heart_rates(samples_bpm: Sequence[float]) -> tuple[int | None, int | None]:
    """Average and maximum of the possible samples; None without any."""
    real = [bpm for bpm in samples_bpm if LOWEST_BPM <= bpm <= HIGHEST_BPM]
    return (round(sum(real) / len(real)), round(max(real))) if real else (None, None)


def distance_m(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """The distance between two positions in degrees, along the ground."""
    if abs(latitude - other_latitude) > FAR_DEGREES or abs(longitude - other_longitude) > FAR_DEGREES:
        return _great_circle_m(latitude, longitude, other_latitude, other_longitude)
    x = latitude - other_latitude
    y = (longitude - other_longitude) * math.cos(math.radians(latitude))
    return math.sqrt(x * x + y * y) * DEGREE_M


def _great_circle_m(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """By the haversine formula."""
    turn = math.radians(longitude - other_longitude)
    here, there = math.radians(latitude), math.radians(other_latitude)
    half = math.sin((here - there) / 2) ** 2 + math.sin(turn / 2) ** 2 * math.cos(here) * math.cos(there)
    return 2 * math.asin(math.sqrt(half)) * EARTH_RADIUS_M
