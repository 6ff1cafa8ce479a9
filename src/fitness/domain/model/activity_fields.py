"""The fields of an activity that people state, each declared once."""

from datetime import datetime
from typing import Annotated

from fitness.domain.model.fields import MAX_INT64, Items, Number, Says
from fitness.domain.model.text import TextRule

MAX_TAGS = 20
MAX_DURATION_MINUTES = 43_200
MAX_DISTANCE_KM = 2_000

TITLE = TextRule(max_length=250)
NOTES = TextRule(max_length=10_000, lines=True)
TAG = TextRule(min_length=1, max_length=50)
SOURCE_PATTERN = "^[a-z][a-z0-9_]{0,31}$"
EXTERNAL_ID = TextRule(min_length=1, max_length=255)

ActivityDate = Annotated[
    datetime,
    Says(
        "The start, with its offset from UTC; from 1970-01-01 to 24 hours from now. Kept in UTC.",
        "2026-05-01T08:00:00+02:00",
    ),
]
DurationMinutes = Annotated[
    float,
    Number(0, MAX_DURATION_MINUTES, above=True, kept_to=0.001),
    Says("Time in motion, in minutes; kept to 0.001.", 42.5),
]
ElapsedMinutes = Annotated[
    float,
    Number(0, MAX_DURATION_MINUTES, above=True, kept_to=0.001),
    Says("From start to end with all pauses, in minutes; kept to 0.001, not below duration_minutes.", 45.0),
]
IsIndoor = Annotated[bool, Says("On a trainer or treadmill, in a pool or a hall; null is unknown.", False)]
GroupId = Annotated[
    int, Number(1, MAX_INT64), Says("Shared by the activities of one recording, as by the parts of a triathlon.")
]
Title = Annotated[str, TITLE, Says("One line, without control or invisible characters.", "Around the lake")]
TimeZone = Annotated[str, Says("An IANA time zone name, or a fixed offset such as +09:00.", "Europe/Paris")]
DistanceKm = Annotated[
    float, Number(0, MAX_DISTANCE_KM), Says("Kilometres, kept to 0.001; null is unknown, 0 is measured.", 9.1)
]
ElevationGainM = Annotated[float, Number(0, 20_000), Says("Metres climbed, kept to 0.001; null is unknown.", 120)]
CaloriesKcal = Annotated[int, Number(0, 50_000), Says("Kilocalories; null is unknown.", 480)]
AverageHeartRate = Annotated[
    int, Number(20, 250), Says("Beats a minute, not above max_heart_rate_bpm; null is unknown.", 142)
]
MaxHeartRate = Annotated[int, Number(20, 250), Says("Beats a minute; null is unknown.", 171)]
Notes = Annotated[str, NOTES, Says("Text of several lines.", "Windy, and two dogs.")]
Tag = Annotated[str, TAG]
Tags = Annotated[
    tuple[Tag, ...], Items(MAX_TAGS), Says("Kept in lower case and NFC, each once, in the order given.", ("lake",))
]
Source = Annotated[
    str, Says("Where it is from: `manual`, `import`, or another service's word.", "manual", pattern=SOURCE_PATTERN)
]
ExternalId = Annotated[
    str, EXTERNAL_ID, Says("Its name at its source, once among the living activities of a person.", "run-2026-05-01")
]
