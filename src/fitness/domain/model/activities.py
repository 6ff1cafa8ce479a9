"""Training activities: what one is, what makes one valid, and its changes as pure functions."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypedDict, TypeVar

from fitness.domain.model.activity_fields import (
    EXTERNAL_ID,
    MAX_TAGS,
    NOTES,
    SOURCE_PATTERN,
    ActivityDate,
    AverageHeartRate,
    CaloriesKcal,
    DistanceKm,
    DurationMinutes,
    ElapsedMinutes,
    ElevationGainM,
    ExternalId,
    GroupId,
    IsIndoor,
    MaxHeartRate,
    Notes,
    Source,
    Tags,
    TimeZone,
    Title,
)
from fitness.domain.model.activity_fields import (
    TAG as TAG,
)
from fitness.domain.model.activity_fields import (
    TITLE as TITLE,
)
from fitness.domain.model.activity_types import ActivityType as ActivityType
from fitness.domain.model.fields import MAX_INT64, Id, Number, Says, rules_of
from fitness.domain.model.refusals import FieldProblem, InvalidFields
from fitness.domain.model.text import TextRule, text_problem
from fitness.domain.model.time_zones import local_date, recorded_zone_problem

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_AHEAD = timedelta(hours=24)

_SOURCE = re.compile(SOURCE_PATTERN)

_LONGEST_TAG_GIVEN = 1_000
"""Longer tags are refused as they are, blanks included: trimming and composing them would take time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a person says of an activity; None is unknown, 0 is measured. Bounds stand in `checked`."""

    activity_type: ActivityType
    activity_date: ActivityDate
    """The start: aware, kept in UTC."""
    duration_minutes: DurationMinutes
    elapsed_minutes: ElapsedMinutes | None = None
    title: Title | None = None
    timezone: TimeZone | None = None
    """IANA name or fixed offset; None stands for the profile's."""
    distance_km: DistanceKm | None = None
    elevation_gain_m: ElevationGainM | None = None
    calories_kcal: CaloriesKcal | None = None
    average_heart_rate_bpm: AverageHeartRate | None = None
    max_heart_rate_bpm: MaxHeartRate | None = None
    is_indoor: IsIndoor | None = None
    notes: Notes | None = None
    tags: Tags = ()
    """Lower case, NFC, each once, in the order given."""


class DetailsChanges(TypedDict, total=False):
    """A merge patch of `Details`: an absent key keeps, None clears."""

    activity_type: ActivityType
    activity_date: ActivityDate
    duration_minutes: DurationMinutes
    elapsed_minutes: ElapsedMinutes | None
    title: Title | None
    timezone: TimeZone | None
    distance_km: DistanceKm | None
    elevation_gain_m: ElevationGainM | None
    calories_kcal: CaloriesKcal | None
    average_heart_rate_bpm: AverageHeartRate | None
    max_heart_rate_bpm: MaxHeartRate | None
    is_indoor: IsIndoor | None
    notes: Notes | None
    tags: Tags | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewActivity(Details):
    """An activity on its way in: `external_id` names it at its `source`, once among a user's live activities."""

    source: Source = "manual"
    external_id: ExternalId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity(Details):
    """A kept activity. `version` starts at 1 and rises with each change; `deleted_at` is set while in the trash."""

    id: Id
    user_id: Id
    version: Annotated[int, Number(1, MAX_INT64), Says("Rises with each change, and is the ETag.")]
    timezone: TimeZone
    local_date: Annotated[date, Says("The start's calendar day in `timezone`.")]
    source: Source
    external_id: ExternalId | None
    group_id: GroupId | None = None
    created_at: datetime
    updated_at: datetime
    deleted_at: Annotated[datetime, Says("Set while it is in the trash.")] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashedActivity(Activity):
    """An activity in the trash, which is emptied of it at `purge_at`."""

    purge_at: Annotated[datetime, Says("When it is deleted for good.")]


D = TypeVar("D", bound=Details)
_NUMBERS = rules_of(Details, Number)
DETAIL_NAMES = tuple(field.name for field in fields(Details))


def checked(details: D, *, now: datetime, before: Details | None = None) -> D:
    """`details` in the form they are kept in. Raises InvalidFields naming every rule broken.

    Texts that have not changed since `before` are not judged: they may be older than the rules.
    """
    too_many = len(details.tags) > MAX_TAGS  # composing them all would take time
    tidy = _normalized(replace(details, tags=()) if too_many else details)
    problems = [*_detail_problems(tidy, now), *_text_problems(tidy, before)]
    if too_many:
        problems.append(FieldProblem("tags", f"must be at most {MAX_TAGS} tags"))
    if isinstance(tidy, NewActivity):
        problems += _origin_problems(tidy)
    if problems:
        raise InvalidFields(*problems)
    return tidy if tidy.activity_date.tzinfo is UTC else replace(tidy, activity_date=tidy.activity_date.astimezone(UTC))


def recorded(
    new: NewActivity, *, user_id: int, timezone: str, now: datetime, id: int = 0, group_id: int | None = None
) -> Activity:
    """The kept form of a checked `new` in `timezone`; if its id is 0, a repository gives it one."""
    kept = {name: getattr(new, name) for name in DETAIL_NAMES} | {"timezone": timezone}
    return Activity(
        **kept,
        id=id,
        user_id=user_id,
        version=1,
        local_date=local_date(new.activity_date, timezone),
        source=new.source,
        external_id=new.external_id,
        group_id=group_id,
        created_at=now,
        updated_at=now,
    )


def revised(activity: Activity, changes: DetailsChanges, *, home_timezone: str, now: datetime) -> Activity:
    """`activity` after a merge patch; the very same object when nothing changes. Raises InvalidFields.

    `home_timezone` replaces a zone that is cleared.
    """
    defaults: dict[str, Any] = {"timezone": home_timezone, "tags": ()}
    patch: dict[str, Any] = {name: defaults.get(name) if value is None else value for name, value in changes.items()}
    patched = checked(replace(activity, **patch), now=now, before=activity)
    if patched == activity:
        return activity
    return replace(
        patched,
        version=activity.version + 1,
        local_date=local_date(patched.activity_date, patched.timezone),
        updated_at=now,
    )


def trashed(activity: Activity, *, at: datetime) -> Activity:
    return replace(activity, deleted_at=at, updated_at=at, version=activity.version + 1)


def restored(activity: Activity, *, at: datetime) -> Activity:
    return replace(activity, deleted_at=None, updated_at=at, version=activity.version + 1)


def normalized_tag(tag: str) -> str:
    """The one form of a tag: trimmed, lower case, NFC."""
    return TAG.tidied(tag.lower()) if len(tag) <= _LONGEST_TAG_GIVEN else tag


class ActivityState(StrEnum):
    """Whether a kept activity is live or in the trash."""

    LIVE = "live"
    TRASHED = "trashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityDates:
    """An activity as admins see it: nothing of what its owner wrote."""

    id: int
    user_id: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    """Since when it is in the trash; null while it is live."""


def _normalized(details: D) -> D:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(float(value), 3)

    def text(value: str | None, rule: TextRule) -> str | None:
        return (rule.tidied(value) or None) if value is not None else None

    tidy: dict[str, Any] = {
        "title": text(details.title, TITLE),
        "notes": text(details.notes, NOTES),
        "duration_minutes": round(float(details.duration_minutes), 3),
        "elapsed_minutes": rounded(details.elapsed_minutes),
        "distance_km": rounded(details.distance_km),
        "elevation_gain_m": rounded(details.elevation_gain_m),
        "tags": tuple(dict.fromkeys([normalized_tag(tag) for tag in details.tags])),
    }
    # Most details are tidy already, and a copy costs as much as all the work above.
    return replace(details, **tidy) if any(not _same(getattr(details, name), tidy[name]) for name in tidy) else details


def _same(given: object, kept: object) -> bool:
    return given is kept or (type(given) is type(kept) and given == kept)


def _detail_problems(details: Details, now: datetime) -> list[FieldProblem]:
    problems: list[FieldProblem] = []

    def refuse(field: str, message: str | None) -> None:
        if message is not None:
            problems.append(FieldProblem(field, message))

    refuse("activity_date", _date_problem(details.activity_date, now))
    for name, rule in _NUMBERS.items():
        if (value := getattr(details, name)) is not None:
            refuse(name, rule.problem(value))
    if details.elapsed_minutes is not None and details.elapsed_minutes < details.duration_minutes:
        refuse("elapsed_minutes", "must not be below duration_minutes")
    average, highest = details.average_heart_rate_bpm, details.max_heart_rate_bpm
    if average is not None and highest is not None and average > highest:
        refuse("average_heart_rate_bpm", "must not be above max_heart_rate_bpm")
    refuse("timezone", _if_given(details.timezone, recorded_zone_problem))
    return problems


def _text_problems(details: Details, before: Details | None) -> Iterator[FieldProblem]:
    judged = [] if before is None else _texts(before)
    for field, rule, text in _texts(details):
        if text is not None and (field, rule, text) not in judged and (message := rule.problem(text)):
            yield FieldProblem(field, message)


def _texts(details: Details) -> list[tuple[str, TextRule, str | None]]:
    return [
        ("title", TITLE, details.title),
        ("notes", NOTES, details.notes),
        *(("tags", TAG, tag) for tag in details.tags),
    ]


def _origin_problems(new: NewActivity) -> list[FieldProblem]:
    problems = []
    if not _SOURCE.fullmatch(new.source):
        problems.append(FieldProblem("source", "must be 1 to 32 lower-case letters, digits and _, a letter first"))
    if new.external_id is not None and (message := _external_id_problem(new.external_id)):
        problems.append(FieldProblem("external_id", message))
    return problems


def _external_id_problem(text: str) -> str | None:
    return text_problem(text, min_length=EXTERNAL_ID.min_length, max_length=EXTERNAL_ID.max_length)


def _if_given(value: str | None, problem: Callable[[str], str | None]) -> str | None:
    return None if value is None else problem(value)


def _date_problem(instant: datetime, now: datetime) -> str | None:
    if instant.tzinfo is None:
        return "must carry an offset from UTC, such as Z or +02:00"
    if not EARLIEST <= instant <= now + LATEST_AHEAD:
        return "must lie between 1970-01-01 and 24 hours from now"
    return None
