"""Kept files: their names and kinds, what counts as the same recording, and what reading them again changes."""

import gzip
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.domain.model.activities import Activity, ActivityType
from fitness.domain.model.originals import (
    FIT,
    GPX,
    GZIP,
    TCX,
    Reading,
    details_of,
    first_answer,
    media_type_of,
    reread,
    safe_file_name,
)
from fitness.domain.model.twins import FAMILIES, same_family, same_recording
from tests.builders import LUNCH, NOW, an_activity
from tests.files import A_TRACK, FitFile, tcx

LATER = NOW + timedelta(days=1)


def a_reading(activity: Activity, **as_read: Any) -> Reading:
    """Of an activity that its file described in the same way, but for what is stated."""
    return Reading(1, replace(details_of(activity), **as_read), activity)


class TestTwins:
    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("ride", "gravel_ride", True),
            ("run", "walk", True),
            ("workout", "swim", True),
            ("swim", "workout", True),
            ("golf", "golf", True),
            ("golf", "soccer", False),
            ("run", "ride", False),
        ],
    )
    def test_files_of_one_recording_name_sports_of_one_family(self, one: str, other: str, same: bool):
        assert same_family(one, other) == same

    def test_the_families_name_sports_that_there_are(self):
        assert {*FAMILIES} < {kind.value for kind in ActivityType}

    @pytest.mark.parametrize(("apart_s", "same"), [(0, True), (60, True), (60.001, False)])
    def test_it_begins_within_a_minute(self, apart_s: float, same: bool):
        first = an_activity(activity_date=LUNCH)
        second = an_activity(activity_date=LUNCH + timedelta(seconds=apart_s))
        assert same_recording(first, second) == same_recording(second, first) == same


class TestReread:
    def test_what_was_not_edited_is_as_the_file_says_today(self):
        reading = a_reading(an_activity(title="Loop", duration_minutes=30.0, distance_km=None))
        anew = replace(reading.details, duration_minutes=28.5, elapsed_minutes=30.0, title=None)
        result = reread(reading, anew, now=LATER)
        assert result.differing == ("duration_minutes", "elapsed_minutes", "title")
        assert result.edited == ()
        changed = result.activity
        assert (changed.duration_minutes, changed.elapsed_minutes, changed.title) == (28.5, 30.0, None)
        assert (changed.version, changed.updated_at) == (2, LATER)

    def test_what_was_edited_is_kept(self):
        reading = a_reading(an_activity(title="Mine", distance_km=5.0, tags=("race",)), title="Loop", tags=())
        anew = replace(reading.details, title="Morning loop", distance_km=5.2)
        result = reread(reading, anew, now=LATER)
        assert (result.differing, result.edited) == (("distance_km",), ("title", "tags"))
        assert (result.activity.title, result.activity.tags, result.activity.distance_km) == ("Mine", ("race",), 5.2)

    def test_the_day_follows_the_zone(self):
        reading = a_reading(an_activity(activity_date=LUNCH, timezone="UTC"))
        result = reread(reading, replace(reading.details, timezone="Pacific/Kiritimati"), now=LATER)
        assert result.activity.local_date == LUNCH.date() + timedelta(days=1)

    def test_a_field_that_breaks_a_rule_with_an_edited_one_is_left(self):
        reading = a_reading(an_activity(duration_minutes=40.0, distance_km=5.0), duration_minutes=30.0)
        anew = replace(reading.details, duration_minutes=29.0, elapsed_minutes=35.0, distance_km=5.5)
        result = reread(reading, anew, now=LATER)
        assert (result.differing, result.edited) == (("distance_km",), ("duration_minutes", "elapsed_minutes"))
        assert result.activity.elapsed_minutes is None

    def test_read_again_in_the_same_way_it_stays_the_very_same(self):
        reading = a_reading(an_activity(title="Mine"), title="Loop")
        result = reread(reading, reading.details, now=LATER)
        assert result.activity is reading.activity
        assert result.differing == ()


def test_the_first_answer_is_the_activity_as_it_was_read():
    activity = replace(an_activity(timezone="Asia/Tokyo", activity_date=LUNCH), id=7)
    edited = replace(activity, title="Mine", timezone="UTC", version=3, updated_at=LATER, deleted_at=LATER)
    assert first_answer(Reading(1, details_of(activity), edited)) == activity


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (A_TRACK, GPX),
        (tcx(), TCX),
        (tcx().decode().encode("utf-16"), TCX),
        (FitFile().session().content(), FIT),
        (gzip.compress(A_TRACK), GZIP),
    ],
)
def test_a_file_is_served_as_what_it_is(content: bytes, kind: str):
    assert media_type_of(content) == kind


@pytest.mark.parametrize(
    ("given", "saved"),
    [
        ("morning.gpx", "morning.gpx"),
        ("Höhenweg (2).fit", "Höhenweg (2).fit"),
        ("../../etc/passwd", "passwd"),
        ("C:\\rides\\one.tcx", "one.tcx"),
        ('a"; filename=x\r\nSet-Cookie: a=b', "a__ filename_x__Set-Cookie_ a_b"),
        (".htaccess", "htaccess"),
        ("..", "activity-7.gpx"),
        (None, "activity-7.gpx"),
        ("", "activity-7.gpx"),
    ],
)
def test_a_file_is_saved_under_a_harmless_name(given: str | None, saved: str):
    assert safe_file_name(given, 7, GPX) == saved


@given(st.text(max_size=400))
def test_no_name_leads_out_of_a_folder_or_a_header(name: str):
    saved = safe_file_name(name, 7, FIT)
    assert re.fullmatch(r"[\w,()+-][\w.,() +-]*", saved)
    assert 0 < len(saved) <= 150
