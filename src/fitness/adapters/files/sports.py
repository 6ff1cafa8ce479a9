"""Maps the names that devices and apps give to sports to our activity types."""

import re
from typing import NamedTuple

from fitness.domain.model.activities import ActivityType

# FIT names a sport and a sub-sport; the finer of the two that is known decides.
_BY_SUB_SPORT = {
    "backcountry": ActivityType.BACKCOUNTRY_SKI,
    "badminton": ActivityType.BADMINTON,
    "bouldering": ActivityType.ROCK_CLIMBING,
    "e_bike_fitness": ActivityType.E_BIKE_RIDE,
    "e_bike_mountain": ActivityType.E_MOUNTAIN_BIKE_RIDE,
    "elliptical": ActivityType.ELLIPTICAL,
    "gravel_cycling": ActivityType.GRAVEL_RIDE,
    "hand_cycling": ActivityType.HANDCYCLE,
    "hiit": ActivityType.HIGH_INTENSITY_INTERVAL_TRAINING,
    "indoor_climbing": ActivityType.ROCK_CLIMBING,
    "indoor_hand_cycling": ActivityType.HANDCYCLE,
    "indoor_rowing": ActivityType.ROWING,
    "indoor_walking": ActivityType.WALK,
    "indoor_wheelchair_run": ActivityType.WHEELCHAIR,
    "indoor_wheelchair_walk": ActivityType.WHEELCHAIR,
    "mountain": ActivityType.MOUNTAIN_BIKE_RIDE,
    "padel": ActivityType.PADEL,
    "pickleball": ActivityType.PICKLEBALL,
    "pilates": ActivityType.PILATES,
    "racquetball": ActivityType.RACQUETBALL,
    "squash": ActivityType.SQUASH,
    "stair_climbing": ActivityType.STAIR_STEPPER,
    "strength_training": ActivityType.WEIGHT_TRAINING,
    "table_tennis": ActivityType.TABLE_TENNIS,
    "yoga": ActivityType.YOGA,
}
_BY_BOTH = {
    ("running", "trail"): ActivityType.TRAIL_RUN,
    ("running", "virtual_activity"): ActivityType.VIRTUAL_RUN,
    ("cycling", "downhill"): ActivityType.MOUNTAIN_BIKE_RIDE,
    ("cycling", "virtual_activity"): ActivityType.VIRTUAL_RIDE,
    ("rowing", "virtual_activity"): ActivityType.VIRTUAL_ROW,
}
_BY_SPORT = {
    ActivityType.ALPINE_SKI: "alpine_skiing downhill_skiing resort_skiing skiing",
    ActivityType.BACKCOUNTRY_SKI: "backcountry_skiing ski_touring skitour skitouring",
    ActivityType.CANOEING: "canoe paddling",
    ActivityType.DANCE: "dancing",
    ActivityType.E_BIKE_RIDE: "e_bike e_bike_fitness e_biking e_touringbicycle ebike ebike_ride",
    ActivityType.E_MOUNTAIN_BIKE_RIDE: "e_bike_mountain e_mountain_biking e_mtb",
    ActivityType.GRAVEL_RIDE: "cyclocross gravel gravel_biking gravel_cycling",
    ActivityType.HIGH_INTENSITY_INTERVAL_TRAINING: "hiit",
    ActivityType.HIKE: "hiking mountaineering rucking trekking",
    ActivityType.ICE_SKATE: "ice_skating",
    ActivityType.INLINE_SKATE: "inline_skating roller_skating rollerblading",
    ActivityType.KAYAKING: "kayak whitewater_rafting_kayaking",
    ActivityType.KITESURF: "kiteboarding kitesurfing",
    ActivityType.MOUNTAIN_BIKE_RIDE: "bmx downhill_biking mountain_bike mountain_biking mtb",
    ActivityType.NORDIC_SKI: "cross_country_skiing nordic_skiing skate_skiing xc_skiing",
    ActivityType.RIDE: """bicycle bicycling bike biking cycling cycling_sport cycling_transportation indoor_biking
        indoor_cycling racebike recumbent_cycling road_biking road_cycling spinning touringbicycle track_cycling""",
    ActivityType.ROCK_CLIMBING: "bouldering climbing indoor_climbing",
    ActivityType.ROWING: "indoor_rowing row",
    ActivityType.RUN: """indoor_running jogging obstacle_run road_running running street_running track_running treadmill
        treadmill_running ultra_run""",
    ActivityType.SAIL: "sailing",
    ActivityType.SKATEBOARD: "skateboarding",
    ActivityType.SNOWBOARD: "snowboarding",
    ActivityType.SNOWSHOE: "snow_shoe snowshoeing",
    ActivityType.SOCCER: "football",
    ActivityType.STAIR_STEPPER: "floor_climbing stair_climbing",
    ActivityType.STAND_UP_PADDLING: "stand_up_paddleboarding sup",
    ActivityType.SURFING: "surf",
    ActivityType.SWIM: "lap_swimming open_water open_water_swimming pool_swimming swimming",
    ActivityType.TRAIL_RUN: "trail_running",
    ActivityType.TRANSITION: "bike_to_run_transition swim_to_bike_transition",
    ActivityType.VIRTUAL_RIDE: "virtual_cycling",
    ActivityType.VIRTUAL_RUN: "virtual_running",
    ActivityType.WALK: "casual_walking indoor_walking nordic_walking speed_walking walking",
    ActivityType.WEIGHT_TRAINING: "strength strength_training weights",
    ActivityType.WHEELCHAIR: "wheelchair_push_run wheelchair_push_walk",
    ActivityType.WINDSURF: "windsurfing",
}
_BY_WORD = {word: kind for kind, words in _BY_SPORT.items() for word in words.split()}
_OWN_NAMES = {kind.value: kind for kind in ActivityType}


# The numbers for sports in the GPX files that Strava makes of its own activities.
_BY_NUMBER = {
    "1": ActivityType.RIDE,
    "2": ActivityType.ALPINE_SKI,
    "3": ActivityType.BACKCOUNTRY_SKI,
    "4": ActivityType.HIKE,
    "5": ActivityType.ICE_SKATE,
    "6": ActivityType.INLINE_SKATE,
    "7": ActivityType.NORDIC_SKI,
    "8": ActivityType.ROLLER_SKI,
    "9": ActivityType.RUN,
    "10": ActivityType.WALK,
    "11": ActivityType.WORKOUT,
    "12": ActivityType.SNOWBOARD,
    "13": ActivityType.SNOWSHOE,
    "14": ActivityType.KITESURF,
    "15": ActivityType.WINDSURF,
    "16": ActivityType.SWIM,
    "17": ActivityType.VIRTUAL_RIDE,
    "18": ActivityType.E_BIKE_RIDE,
    "19": ActivityType.VELOMOBILE,
    "21": ActivityType.CANOEING,
    "22": ActivityType.KAYAKING,
    "23": ActivityType.ROWING,
    "24": ActivityType.STAND_UP_PADDLING,
    "25": ActivityType.SURFING,
    "26": ActivityType.CROSSFIT,
    "27": ActivityType.ELLIPTICAL,
    "28": ActivityType.ROCK_CLIMBING,
    "29": ActivityType.STAIR_STEPPER,
    "30": ActivityType.WEIGHT_TRAINING,
    "31": ActivityType.YOGA,
    "51": ActivityType.HANDCYCLE,
    "52": ActivityType.WHEELCHAIR,
    "53": ActivityType.VIRTUAL_RUN,
}

_INDOORS = frozenset(
    {
        "cardio_training",
        "elliptical",
        "fitness_equipment",
        "floor_climbing",
        "indoor_biking",
        "indoor_cardio",
        "indoor_climbing",
        "indoor_cycling",
        "indoor_hand_cycling",
        "indoor_rowing",
        "indoor_running",
        "indoor_skiing",
        "indoor_walking",
        "indoor_wheelchair_run",
        "indoor_wheelchair_walk",
        "lap_swimming",
        "pool_swimming",
        "spin",
        "spinning",
        "stair_climbing",
        "stair_stepper",
        "strength_training",
        "treadmill",
        "treadmill_running",
        "virtual_activity",
        "virtual_cycling",
        "virtual_ride",
        "virtual_row",
        "virtual_run",
        "virtual_running",
        "weight_training",
    }
)

_VERSION = re.compile(r"_(?:v\d|ws)$")
_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Sport(NamedTuple):
    activity_type: ActivityType
    """The nearest of ours; `workout` for what has none."""
    indoor: bool | None
    """True on a trainer or treadmill, in a pool or a hall; None where the name does not say."""


def sport_named(sport: object, sub_sport: object = None) -> Sport:
    first, second = _word(sport), _word(sub_sport)
    kind = (
        _BY_BOTH.get((first, second))
        or _BY_SUB_SPORT.get(second)
        or _BY_WORD.get(first)
        or _OWN_NAMES.get(first)
        or ActivityType.WORKOUT
    )
    return Sport(kind, True if first in _INDOORS or second in _INDOORS else None)


def sport_of_track(name: str | None) -> Sport:
    """Of a GPX file, where it may be one of Strava's numbers."""
    numbered = _BY_NUMBER.get(name or "")
    return sport_named(numbered.value if numbered else name)


def activity_type(sport: object, sub_sport: object = None) -> ActivityType:
    return sport_named(sport, sub_sport).activity_type


def _word(name: object) -> str:
    """In snake_case, whether it came as `TrailRun`, `Trail Run` or Garmin's `trail_run_v2`."""
    text = _WORD_BEGINS.sub("_", str(name).strip()[:100])
    return _VERSION.sub("", re.sub(r"[\s_/-]+", "_", text).lower())
