"""The rules of activities, accounts and lists, and the pure steps between their states."""

import inspect
import pickle
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.domain.model import file_refusals, refusals
from fitness.domain.model.activities import (
    TAG,
    TITLE,
    ActivityType,
    checked,
    normalized_tag,
    restored,
    revised,
    trashed,
)
from fitness.domain.model.api_keys import ApiScope, checked_key
from fitness.domain.model.rate_limits import Balance, Decision, Limit, RateLimited
from fitness.domain.model.recordings import Recording, imported
from fitness.domain.model.refusals import FieldProblem, InvalidFields, Refusal
from fitness.domain.model.text import composed, escaped, folded, text_problem
from fitness.domain.model.time_zones import is_fixed_offset, is_time_zone, local_date, zone_of_recording
from fitness.domain.model.users import EMAIL, NAME, checked_registration
from tests.builders import LUNCH, NOW, a_new_activity, a_registration, an_activity

LATER = NOW + timedelta(hours=1)


def problems(**stated: object) -> list[str]:
    """The fields at fault in an activity that is sound but for what is stated."""
    try:
        checked(a_new_activity(**stated), now=NOW)
    except InvalidFields as refusal:
        return [problem.field for problem in refusal.problems]
    return []


class TestChecked:
    @pytest.mark.parametrize(
        "stated",
        [
            {"activity_date": datetime(1970, 1, 1, tzinfo=UTC)},
            {"activity_date": NOW + timedelta(hours=24)},
            {"duration_minutes": 0.001},
            {"duration_minutes": 43_200.0},
            {"duration_minutes": 30.0, "elapsed_minutes": 30.0},
            {"elapsed_minutes": 43_200.0, "is_indoor": False},
            {"distance_km": 0.0},
            {"distance_km": 2_000.0},
            {"elevation_gain_m": 20_000.0},
            {"calories_kcal": 50_000},
            {"average_heart_rate_bpm": 20, "max_heart_rate_bpm": 20},
            {"max_heart_rate_bpm": 250},
            {"title": "x" * 250},
            {"notes": "x" * 10_000},
            {"timezone": "America/Argentina/Buenos_Aires"},
            {"tags": tuple(f"t{n}" for n in range(20))},
            {"tags": ("x" * 50,)},
        ],
    )
    def test_the_bounds_themselves_are_within(self, stated: dict[str, object]):
        assert problems(**stated) == []

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("activity_date", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
            ("activity_date", NOW + timedelta(hours=24, microseconds=1)),
            ("activity_date", datetime(2026, 1, 1)),  # noqa: DTZ001 - a time without an offset is the point
            ("activity_date", datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
            ("activity_date", datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
            ("duration_minutes", 0.0),
            ("duration_minutes", 0.0004),
            ("duration_minutes", 43_200.001),
            ("duration_minutes", float("nan")),
            ("duration_minutes", float("inf")),
            ("elapsed_minutes", 29.999),
            ("elapsed_minutes", 43_200.001),
            ("distance_km", -0.001),
            ("distance_km", 1e300),
            ("elevation_gain_m", 20_000.001),
            ("calories_kcal", 2**70),
            ("average_heart_rate_bpm", 19),
            ("max_heart_rate_bpm", 251),
            ("title", "x" * 251),
            ("title", "a\0"),
            ("notes", "x" * 10_001),
            ("notes", "\ud800"),
            ("timezone", "Europe/Atlantis"),
            ("timezone", "localtime"),
            ("tags", tuple(f"t{n}" for n in range(21))),
            ("tags", ("",)),
            ("tags", ("x" * 51,)),
            ("source", "Watch"),
            ("external_id", ""),
        ],
    )
    def test_a_step_past_a_bound_is_named(self, field: str, value: object):
        assert problems(**{field: value}) == [field]

    def test_an_average_above_the_maximum_is_named(self):
        assert problems(average_heart_rate_bpm=151, max_heart_rate_bpm=150) == ["average_heart_rate_bpm"]

    def test_every_problem_is_named_at_once(self):
        assert problems(duration_minutes=0.0, elapsed_minutes=43_201.0, title="a\0", calories_kcal=-1) == [
            "duration_minutes",
            "elapsed_minutes",
            "calories_kcal",
            "title",
        ]

    def test_figures_have_three_decimals_and_the_start_is_in_utc(self):
        start = datetime(2026, 5, 1, 8, tzinfo=timezone(timedelta(hours=2)))
        kept = checked(a_new_activity(activity_date=start, duration_minutes=30.12349, distance_km=10.0006), now=NOW)
        assert (kept.duration_minutes, kept.distance_km) == (30.123, 10.001)
        assert kept.activity_date == start
        assert kept.activity_date.tzinfo is UTC

    def test_texts_are_trimmed_and_composed_and_blank_is_unknown(self):
        kept = checked(a_new_activity(title="  Zu\u0308rich  ", notes=" \n "), now=NOW)
        assert (kept.title, kept.notes) == ("Z\u00fcrich", None)

    def test_tags_are_one_spelling_each_in_the_order_given(self):
        kept = checked(a_new_activity(tags=(" Race", "race", "CAFE\u0301", "caf\u00e9", "b")), now=NOW)
        assert kept.tags == ("race", "caf\u00e9", "b")

    @given(st.text(max_size=60))
    def test_a_normalized_tag_stays_as_it_is(self, tag: str):
        once = normalized_tag(tag)
        assert normalized_tag(once) == once


class TestLife:
    @given(
        age=st.timedeltas(timedelta(0), timedelta(days=20_000)),
        zone=st.sampled_from(
            ["UTC", "Europe/Paris", "Pacific/Kiritimati", "Pacific/Niue", "Asia/Kathmandu", "America/St_Johns"]
        ),
    )
    def test_the_local_date_is_that_of_the_start_in_its_zone(self, age: timedelta, zone: str):
        start = NOW - age
        activity = an_activity(activity_date=start, timezone=zone)
        assert activity.local_date == local_date(activity.activity_date, zone)
        assert abs((activity.local_date - start.date()).days) <= 1

    def test_the_turn_of_the_year_in_paris(self):
        eve = datetime(2024, 12, 31, 23, tzinfo=UTC)
        assert an_activity(activity_date=eve, timezone="Europe/Paris").local_date == date(2025, 1, 1)

    def test_a_revision_raises_the_version_and_moves_the_local_date_along(self):
        activity = an_activity(activity_date=datetime(2026, 5, 1, 23, tzinfo=UTC))
        changed = revised(activity, {"timezone": "Asia/Tokyo"}, home_timezone="UTC", now=LATER)
        assert (changed.version, changed.local_date, changed.updated_at) == (2, date(2026, 5, 2), LATER)
        assert changed.created_at == activity.created_at

    def test_nothing_new_is_no_revision(self):
        activity = an_activity(title="same", tags=("a",))
        assert revised(activity, {"title": " same ", "tags": ("A",)}, home_timezone="UTC", now=LATER) is activity

    def test_null_clears_and_a_cleared_zone_is_the_homes(self):
        activity = an_activity(title="x", tags=("a",), timezone="Asia/Tokyo", distance_km=5.0)
        cleared = revised(
            activity,
            {"title": None, "tags": None, "timezone": None, "distance_km": None},
            home_timezone="Europe/Paris",
            now=LATER,
        )
        assert (cleared.title, cleared.tags, cleared.timezone, cleared.distance_km) == (None, (), "Europe/Paris", None)

    def test_a_revision_that_breaks_a_rule_is_refused(self):
        with pytest.raises(InvalidFields):
            revised(an_activity(), {"duration_minutes": -1}, home_timezone="UTC", now=LATER)

    def test_into_the_trash_and_back_are_two_versions(self):
        activity = an_activity()
        deleted = trashed(activity, at=LATER)
        assert (deleted.deleted_at, deleted.version) == (LATER, 2)
        back = restored(deleted, at=LATER)
        assert (back.deleted_at, back.version, back.title) == (None, 3, activity.title)


class TestTimeZones:
    @pytest.mark.parametrize("name", ["", "UTC ", "utc", "Factory", "localtime", "posixrules", "../etc", "a" * 5_000])
    def test_what_names_no_place_is_no_zone(self, name: str):
        assert not is_time_zone(name)

    @pytest.mark.parametrize("name", ["+09:00", "-03:30", "+05:45", "+14:00", "-12:00", "+00:00"])
    def test_an_offset_of_whole_quarters_may_stand_for_a_zone(self, name: str):
        assert is_fixed_offset(name)
        assert checked(an_activity(timezone=name), now=NOW).timezone == name

    @pytest.mark.parametrize(
        "name", ["+9:00", "09:00", "+14:15", "-12:15", "+09:07", "+09:60", "+09:00 ", "+٠٩:00", "Z"]
    )
    def test_no_other_offset_may(self, name: str):
        assert not is_fixed_offset(name)
        assert problems(timezone=name) == ["timezone"]

    def test_the_day_of_an_offset_is_that_of_clocks_east_of_utc(self):
        assert local_date(datetime(2026, 5, 1, 15, tzinfo=UTC), "+09:00") == date(2026, 5, 2)
        assert local_date(datetime(2026, 5, 1, 3, tzinfo=UTC), "-03:30") == date(2026, 4, 30)

    @pytest.mark.parametrize(
        ("hours", "place", "expected"),
        [
            (None, None, "Europe/Paris"),
            (None, "Asia/Tokyo", "Asia/Tokyo"),
            (9, "Asia/Tokyo", "Asia/Tokyo"),
            (2, None, "Europe/Paris"),
            (2, "Asia/Tokyo", "Europe/Paris"),
            (2, "Europe/Ljubljana", "Europe/Ljubljana"),
            (9, None, "+09:00"),
            (-7, "Asia/Tokyo", "-07:00"),
            (-3.5, None, "-03:30"),
            (5.75, None, "+05:45"),
            (0, None, "+00:00"),
        ],
    )
    def test_a_recordings_zone_is_the_places_then_homes_then_an_offset(
        self, hours: float | None, place: str | None, expected: str
    ):
        summer = datetime(2026, 7, 1, tzinfo=UTC)
        offset = None if hours is None else timedelta(hours=hours)
        found = zone_of_recording(summer, summer, utc_offset=offset, place_zone=place, home="Europe/Paris")
        assert found == expected

    @pytest.mark.parametrize("hours", [7 + 7 / 60, 15, -13])
    def test_an_offset_that_no_clock_has_says_nothing(self, hours: float):
        found = zone_of_recording(LUNCH, LUNCH, utc_offset=timedelta(hours=hours), place_zone=None, home="Europe/Paris")
        assert found == "Europe/Paris"

    @pytest.mark.parametrize("hours", [1, 2])
    @pytest.mark.parametrize("place", [None, "Europe/Berlin"])
    def test_on_the_night_of_a_clock_change_the_offset_of_the_start_or_of_the_end_will_do(
        self, hours: int, place: str | None
    ):
        """23:30 in Paris on 29 March 2025 is of that day, whichever of its two offsets the watch wrote."""
        began = datetime(2025, 3, 29, 22, 30, tzinfo=UTC)
        recording = Recording(
            activity_type=ActivityType.RUN,
            started_at=began,
            utc_offset=timedelta(hours=hours),
            duration_s=4 * 3_600,
            place_zone=place,
        )
        new = imported(recording, home_timezone="Europe/Paris", external_id="sha")
        assert new.timezone == (place or "Europe/Paris")
        assert local_date(began, new.timezone or "") == date(2025, 3, 29)


def test_a_recording_becomes_an_activity_in_our_units():
    recording = Recording(
        activity_type=ActivityType.RIDE,
        started_at=LUNCH,
        utc_offset=timedelta(hours=-7),
        duration_s=90,
        distance_m=1_500,
        elevation_gain_m=12,
    )
    new = imported(recording, home_timezone="Europe/Paris", external_id="sha")
    assert (new.duration_minutes, new.distance_km, new.elevation_gain_m) == (1.5, 1.5, 12)
    assert (new.timezone, new.source, new.external_id) == ("-07:00", "import", "sha")
    assert new.calories_kcal is None


def test_a_recording_that_contradicts_itself_or_says_too_much_is_made_fit():
    recording = Recording(
        activity_type=ActivityType.RIDE,
        started_at=LUNCH,
        utc_offset=None,
        duration_s=90,
        title="x" * 300,
        average_heart_rate_bpm=150,
        max_heart_rate_bpm=140,
    )
    new = checked(imported(recording, home_timezone="UTC", external_id="sha"), now=NOW)
    assert (new.title, new.average_heart_rate_bpm, new.max_heart_rate_bpm) == ("x" * 250, 150, None)


def test_what_is_not_seen_in_a_files_title_is_left_out():
    recording = Recording(
        activity_type=ActivityType.RUN,
        started_at=LUNCH,
        utc_offset=None,
        duration_s=90,
        title="\x1b[31mMorning\n\u202erun\u200b \ud800👩\u200d👩\0",
    )
    assert (
        checked(imported(recording, home_timezone="UTC", external_id="sha"), now=NOW).title
        == "[31mMorning run 👩\u200d👩"
    )
    unseen = replace(recording, title="\u200b\n")
    assert checked(imported(unseen, home_timezone="UTC", external_id="sha"), now=NOW).title is None


def test_a_recording_from_the_edge_of_the_calendar_is_refused_like_any_other_date():
    start = datetime(1, 1, 1, 5, tzinfo=timezone(timedelta(hours=1)))
    recording = Recording(
        activity_type=ActivityType.RUN, started_at=start, utc_offset=timedelta(hours=1), duration_s=60
    )
    with pytest.raises(InvalidFields, match="activity_date"):
        checked(imported(recording, home_timezone="America/New_York", external_id="sha"), now=NOW)


class TestApiKey:
    def test_the_time_it_expires_is_in_utc(self):
        there = NOW.astimezone(timezone(timedelta(hours=-5))) + timedelta(days=1)
        _, expires_at = checked_key("backup", [ApiScope.PROFILE_READ], there, now=NOW)
        assert (expires_at, expires_at and expires_at.tzinfo) == (there, UTC)

    @pytest.mark.parametrize(("hours", "refused"), [(-5, True), (0, False), (5, False)])
    def test_a_time_that_utc_does_not_have_is_refused(self, hours: int, refused: bool):
        last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=hours)))
        if refused:
            with pytest.raises(InvalidFields, match="expires_at: must not be after the year 9999 in UTC"):
                checked_key("backup", [ApiScope.PROFILE_READ], last, now=NOW)
        else:
            assert checked_key("backup", [ApiScope.PROFILE_READ], last, now=NOW) == ("backup", last)


class TestRegistration:
    def test_an_address_has_one_form(self):
        assert checked_registration(a_registration(email=" Ann@Example.ORG ")).email == "ann@example.org"

    def test_a_password_is_composed_and_otherwise_left_exactly_as_it_is(self):
        assert checked_registration(a_registration(password="  Zu\u0308rich  ")).password == "  Z\u00fcrich  "

    @pytest.mark.parametrize(
        "password", ["password", "PassWord", "iloveyou", "12345678", " " * 8, "a" * 200, "trustno1", "1qaz2wsx"]
    )
    def test_a_common_password_is_refused_by_that_reason(self, password: str):
        with pytest.raises(InvalidFields, match="password: is one of the commonest passwords"):
            checked_registration(a_registration(password=password))

    @pytest.mark.parametrize(
        "password",
        ["x" * 7, "u\u0308" * 7, "xy" * 128 + "z", "u\u0308v" * 128 + "z", "long enough\0", "long enough\ud800"],
    )
    def test_a_password_has_8_to_256_characters_composed(self, password: str):
        with pytest.raises(InvalidFields, match="password"):
            checked_registration(a_registration(password=password))

    @pytest.mark.parametrize(
        "password", ["xylophon", "xy" * 128, "u\u0308v" * 128, "u\u0308" * 7 + "x", "\U0001f6b4 cat \u200d dog"]
    )
    def test_no_kind_of_letter_is_demanded_of_a_password(self, password: str):
        assert len(checked_registration(a_registration(password=password)).password) in (8, 256, 11)

    @pytest.mark.parametrize(
        "email",
        [
            "a\x9b31m@example.org",
            "a\u202eb@example.org",
            "a\u200bb@example.org",
            "ann@exam\u00adple.org",
            "x\ufe0f@example.org",
        ],
    )
    def test_an_address_with_what_is_not_seen_is_refused(self, email: str):
        with pytest.raises(InvalidFields, match="email: must not hold U"):
            checked_registration(a_registration(email=email))

    def test_every_problem_is_named_at_once(self):
        wrong = a_registration(email="x", password="x", name="x" * 101, timezone="x")
        with pytest.raises(InvalidFields) as refusal:
            checked_registration(wrong)
        assert [problem.field for problem in refusal.value.problems] == ["email", "password", "name", "timezone"]


RULES = {"name": NAME, "title": TITLE, "tag": TAG}
SEEN = [
    "Zürich 42 km – 日本 🇩🇪 1️⃣",
    "می\u200cخواهم",
    "क्\u200dष",
    "ന്\u200d",
    "👩\u200d👩\u200d👧",
    "👩🏽\u200d🚀",
    "🏳️\u200d🌈",
    "❤️\u200d🔥",
    "🙂\u200d↔️",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\u0600 12",
]
UNSEEN = [
    ("a\x1b[31m", "a[31m"),
    ("a\x9b31m", "a31m"),
    ("a\nb\tc\u2028d", "a b c d"),
    ("a\u202eb", "ab"),
    ("a\u2066b\u2069", "ab"),
    ("a\u200bb\ufeff", "ab"),
    ("soft\u00adhyphen", "softhyphen"),
    ("pay\u200dpal", "paypal"),
    ("\u200dpal", "pal"),
    ("👩\u200d", "👩"),
    ("👩\u200d\u200d👩", "👩👩"),
    ("a\U000e0061\U000e007f", "a"),
    ("\u3164", ""),
]


@pytest.mark.parametrize("field", RULES)
@pytest.mark.parametrize("text", SEEN)
def test_what_is_seen_may_be_kept_with_the_joiners_it_needs(field: str, text: str):
    assert RULES[field].problem(text) is None
    assert RULES[field].cleaned(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("field", RULES)
@pytest.mark.parametrize(("text", "cleaned"), UNSEEN)
def test_what_is_not_seen_is_refused_or_removed(field: str, text: str, cleaned: str):
    assert "must not hold" in str(RULES[field].problem(text))
    assert RULES[field].cleaned(text) == cleaned


def test_joiners_have_no_place_in_an_address():
    assert "zero width joiner" in str(EMAIL.problem("👩\u200d👩@example.org"))


def test_notes_keep_their_lines_and_directions_but_no_control_characters():
    assert problems(notes="a\n\tb\r\n\u200fשלום") == []
    assert problems(notes="a\x1b[31m") == ["notes"]


def test_a_text_that_is_older_than_its_rule_stays_and_a_new_one_does_not():
    old = replace(an_activity(), title="a\x1bb", tags=("c\x1bd",))
    assert revised(old, {"distance_km": 3.0}, home_timezone="UTC", now=LATER).title == "a\x1bb"
    with pytest.raises(InvalidFields, match="title"):
        revised(old, {"title": "a\x1bc"}, home_timezone="UTC", now=LATER)
    with pytest.raises(InvalidFields, match="tags"):
        revised(old, {"tags": ("c\x1bd", "e\x1bf")}, home_timezone="UTC", now=LATER)


def test_tags_are_counted_and_measured_before_they_are_composed():
    assert problems(tags=("a",) * 21) == ["tags"]  # one tag, once they are compared
    stacked = " a" + "\u0301\u0327" * 400_000
    assert normalized_tag(stacked) is stacked
    assert problems(tags=(stacked,)) == ["tags"]


@given(st.text())
def test_what_is_cleaned_can_be_kept(text: str):
    assert TITLE.problem(TITLE.cleaned(text)) is None


def test_a_title_is_cut_where_nothing_is_left_hanging():
    assert TITLE.cleaned("x" * 248 + "👩\u200d👩") == "x" * 248 + "👩"


def test_what_a_terminal_would_act_on_is_escaped():
    assert escaped("\x1b[31mann\u202e\n") == r"\x1b[31mann\u202e\n"
    assert escaped("ann ü 日本") == "ann ü 日本"


@given(st.text())
def test_what_is_no_problem_can_be_kept(text: str):
    if text_problem(text, max_length=100) is None:
        assert "\0" not in text
        assert len(text.encode("utf-8")) <= 400


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Straße", "STRASSE"),
        ("Łódź", "lodz"),
        ("Øresund", "oresund"),
        ("Ærø", "aero"),
        ("cœur", "COEUR"),
        ("Đà Nẵng", "da nang"),
        ("İstanbul", "istanbul"),
        ("d\u2019été", "D'ETE"),
        ("e\u0301", "é"),
        ("ﬁn", "FIN"),
        ("ΣΑΣ", "σας"),
    ],
)
def test_what_people_type_folds_to_the_same(text: str, same: str):
    assert folded(text) == folded(same)


@pytest.mark.parametrize(("text", "other"), [("नि", "न"), ("跑", "步"), ("a", "b"), ("-", "_")])
def test_what_are_other_words_stay_so(text: str, other: str):
    assert folded(text) != folded(other)


def test_what_is_too_long_to_be_kept_is_not_composed():
    stacked = "a" + "\u0301\u0327" * 500_000
    assert composed(stacked, max_length=254) is stacked
    assert composed("Zu\u0308rich", max_length=254) == "Z\u00fcrich"


def _one_of_each(kind: type[Refusal]) -> Iterator[Refusal]:
    for below in kind.__subclasses__():
        yield from _one_of_each(below)
        if below is InvalidFields:
            yield InvalidFields(FieldProblem("a", "b"), FieldProblem("c", "d"))
        elif below is refusals.NotAuthenticated:
            yield refusals.NotAuthenticated("x", token_given=False)
        elif below is RateLimited:
            balance = Balance("requests", Limit(5), remaining=0, reset_us=1, retry_us=1)
            yield RateLimited(Decision((balance,)))
        elif below is not file_refusals.RecordingRefused:
            yield below(*[1] * (len(inspect.signature(below).parameters) if "__init__" in vars(below) else 0))


def test_every_refusal_survives_the_way_between_processes():
    made = [*_one_of_each(Refusal)]
    assert len(made) > 15
    for refusal in made:
        copy = pickle.loads(pickle.dumps(refusal))
        assert type(copy) is type(refusal)
        assert (str(copy), vars(copy)) == (str(refusal), vars(refusal))
