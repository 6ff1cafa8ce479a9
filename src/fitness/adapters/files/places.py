"""The time zone of a place."""

from functools import cache

import tzfpy


@cache
def load() -> None:
    """Read the map, which takes a tenth of a second and, for a moment, 40 MiB."""
    tzfpy.get_tz(0.0, 0.0)


def zone_at(place: tuple[float, float] | None) -> str | None:
    """The IANA name of the zone at a latitude and longitude in degrees; None if nobody lives there, as at sea."""
    if place is None:
        return None
    latitude, longitude = place
    zone = tzfpy.get_tz(longitude, latitude)
    return zone if zone and not zone.startswith("Etc/") else None
