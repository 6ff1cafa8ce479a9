"""What devices call a sport, as our activity types."""

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
    "alpine_skiing": ActivityType.ALPINE_SKI,
    "biking": ActivityType.RIDE,
    "canoeing": ActivityType.CANOEING,
    "cross_country_skiing": ActivityType.NORDIC_SKI,
    "cycling": ActivityType.RIDE,
    "e_biking": ActivityType.E_BIKE_RIDE,
    "floor_climbing": ActivityType.STAIR_STEPPER,
    "hiking": ActivityType.HIKE,
    "ice_skating": ActivityType.ICE_SKATE,
    "inline_skating": ActivityType.INLINE_SKATE,
    "kayaking": ActivityType.KAYAKING,
    "kitesurfing": ActivityType.KITESURF,
    "mountain_biking": ActivityType.MOUNTAIN_BIKE_RIDE,
    "mountaineering": ActivityType.HIKE,
    "paddling": ActivityType.CANOEING,
    "rock_climbing": ActivityType.ROCK_CLIMBING,
    "rowing": ActivityType.ROWING,
    "running": ActivityType.RUN,
    "sailing": ActivityType.SAIL,
    "snowboarding": ActivityType.SNOWBOARD,
    "snowshoeing": ActivityType.SNOWSHOE,
    "stand_up_paddleboarding": ActivityType.STAND_UP_PADDLING,
    "surfing": ActivityType.SURFING,
    "swimming": ActivityType.SWIM,
    "trail_running": ActivityType.TRAIL_RUN,
    "walking": ActivityType.WALK,
    "wheelchair_push_run": ActivityType.WHEELCHAIR,
    "wheelchair_push_walk": ActivityType.WHEELCHAIR,
    "windsurfing": ActivityType.WINDSURF,
}
_OWN_NAMES = {kind.value: kind for kind in ActivityType}


def activity_type(sport: object, sub_sport: object = None) -> ActivityType:
    """The nearest of our types; `workout` for what has none."""
    first, second = _word(sport), _word(sub_sport)
    return (
        _BY_BOTH.get((first, second))
        or _BY_SUB_SPORT.get(second)
        or _BY_SPORT.get(first)
        or _OWN_NAMES.get(first)
        or ActivityType.WORKOUT
    )


def _word(name: object) -> str:
    return str(name).strip().lower().replace(" ", "_").replace("-", "_")
