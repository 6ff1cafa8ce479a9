"""When two activities are one and the same, recorded twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from fitness.domain.model.activities import Activity, ActivityType
from fitness.domain.model.refusals import MatchedOn

SAME_START = timedelta(seconds=60)
"""A device and the program that made another file of its recording differ by seconds."""


class OnDuplicate(StrEnum):
    """What an import does with an activity that is there already."""

    REFUSE = "refuse"
    """The file makes nothing."""
    SKIP = "skip"
    """The other activities of the file are made."""
    KEEP = "keep"
    """It is made as well, unless the very same file made the one that is there."""


@dataclass(frozen=True, slots=True)
class Twin:
    """A live activity that is the same as one that is to be added."""

    existing_id: int
    matched_on: MatchedOn


def same_recording(one: Activity, other: Activity) -> bool:
    """Whether both are of one family of sports and began at the same time, give or take SAME_START."""
    return abs(one.activity_date - other.activity_date) <= SAME_START and same_family(
        one.activity_type, other.activity_type
    )


def same_family(one: str, other: str) -> bool:
    """Files of one ride may call it a ride, a gravel ride, or say nothing of the sport, which makes it a workout."""
    families = {FAMILIES.get(one, one), FAMILIES.get(other, other)}
    return len(families) == 1 or ANY_SPORT in families


ANY_SPORT = ActivityType.WORKOUT.value

_FAMILIES = {
    "foot": "run trail_run virtual_run walk hike snowshoe stair_stepper elliptical",
    "wheels": "ride e_bike_ride e_mountain_bike_ride gravel_ride mountain_bike_ride virtual_ride velomobile handcycle",
    "skates": "ice_skate inline_skate skateboard",
    "snow": "alpine_ski backcountry_ski nordic_ski roller_ski snowboard",
    "boat": "canoeing kayaking rowing virtual_row stand_up_paddling sail",
    "board": "surfing windsurf kitesurf",
    "racket": "badminton pickleball racquetball squash table_tennis tennis",
    "gym": "crossfit high_intensity_interval_training pilates weight_training yoga",
}

FAMILIES: Mapping[str, str] = {kind: family for family, kinds in _FAMILIES.items() for kind in kinds.split()}
"""The family of each type of activity; a type that is not listed is a family of its own."""
