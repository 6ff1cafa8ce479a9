"""A thousand files of each format with faults made at random: read or refused, and no number is absurd."""

from datetime import UTC, datetime, timedelta

import pytest

from fitness.adapters.files.formats import read_recordings
from fitness.domain.model.activities import EARLIEST, NewActivity
from fitness.domain.model.file_refusals import RecordingRefused
from fitness.domain.model.recordings import activities_of, unpacked
from fitness.domain.model.refusals import InvalidFields
from fitness.domain.model.time_zones import is_fixed_offset, is_time_zone
from tests.mutations import BASES, mutated

NOW = datetime(2026, 11, 26, tzinfo=UTC)
A_THOUSAND = range(1_000)
IN_STEPS = 20


@pytest.mark.parametrize("form", BASES)
def test_some_are_read_or_refused_and_no_number_is_absurd(form: str):
    read = judge(form, A_THOUSAND[::IN_STEPS])
    assert read > len(A_THOUSAND) / IN_STEPS / 5


@pytest.mark.slow
@pytest.mark.parametrize("form", BASES)
def test_a_thousand_are_read_or_refused_and_no_number_is_absurd(form: str):
    read = judge(form, A_THOUSAND)
    assert read > len(A_THOUSAND) / 5


def judge(form: str, seeds: range) -> int:
    """How many were read."""
    read = 0
    for seed in seeds:
        try:
            file = read_recordings(unpacked(mutated(form, seed)))
            activities = activities_of(file, digest="0" * 64, home_timezone="Europe/Paris", now=NOW).activities
        except (RecordingRefused, InvalidFields):
            continue
        read += 1
        for activity in activities:
            assert absurd(activity) == [], f"{form} {seed}: {activity}"
    return read


def absurd(activity: NewActivity) -> list[str]:
    """The fields of a file of ninety seconds that no file with faults like these may have."""
    minutes = activity.duration_minutes
    elapsed = activity.elapsed_minutes or 0.0
    average, highest = activity.average_heart_rate_bpm, activity.max_heart_rate_bpm
    sound = {
        "activity_date": EARLIEST <= activity.activity_date <= NOW + timedelta(hours=24),
        "duration_minutes": 0 < minutes <= elapsed,
        "elapsed_minutes": elapsed <= 43_200,
        "distance_km": 0 <= (activity.distance_km or 0) <= 6 * (elapsed + 1),
        "elevation_gain_m": 0 <= (activity.elevation_gain_m or 0) <= 600 * (elapsed + 1),
        "calories_kcal": 0 <= (activity.calories_kcal or 0) <= 200 * (elapsed + 1),
        "average_heart_rate_bpm": average is None or 20 <= average <= (highest or 250),
        "max_heart_rate_bpm": highest is None or 20 <= highest <= 250,
        "timezone": is_time_zone(activity.timezone or "") or is_fixed_offset(activity.timezone or ""),
    }
    return [name for name, is_sound in sound.items() if not is_sound]
