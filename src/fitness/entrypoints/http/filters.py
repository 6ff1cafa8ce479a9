"""Which activities a query string asks for."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from fitness.domain.model.activities import ActivityType, normalized_tag
from fitness.domain.model.activity_fields import MAX_DISTANCE_KM, MAX_DURATION_MINUTES, MAX_TAGS, TAG
from fitness.domain.model.listings import ActivityFilter, Range, Sort
from fitness.domain.model.text import folded, text_problem
from fitness.entrypoints.http.queries import PageQuery, ParameterErrors, day_or_instant

MAX_WORDS_LENGTH = 200
MAX_WORDS = 8

Kilometres = Annotated[float, Meta(ge=0, le=MAX_DISTANCE_KM)]
Minutes = Annotated[float, Meta(gt=0, le=MAX_DURATION_MINUTES)]


@dataclass(frozen=True, kw_only=True)  # without slots: a class cannot have two bases with slots
class TableQuery:
    """Which of the caller's activities are asked for, and in which order."""

    type: Annotated[
        tuple[ActivityType, ...], Meta(description="Of this type; repeat it for any of several.", examples=[["run"]])
    ] = ()
    from_: (
        Annotated[
            str,
            Meta(
                description="A date: on that local day or later. An instant: started then or later.",
                examples=["2026-01-01"],
            ),
        ]
        | None
    ) = None
    to: (
        Annotated[
            str,
            Meta(
                description="A date: on that local day or earlier. An instant: started before it.",
                examples=["2026-12-31"],
            ),
        ]
        | None
    ) = None
    tag: Annotated[
        tuple[str, ...], Meta(description="Has this tag; repeat it to ask for several at once.", examples=[["race"]])
    ] = ()
    exclude_tag: Annotated[tuple[str, ...], Meta(description="Lacks this tag; repeatable.")] = ()
    q: (
        Annotated[
            str,
            Meta(
                description="At most 8 words, each of which stands somewhere in the title or the notes: in any order, "
                "as part of a word too, in any letter case, with or without accents.",
                examples=["hill repeats"],
            ),
        ]
        | None
    ) = None
    min_distance_km: (
        Annotated[Kilometres, Meta(description="So far or farther. An unknown distance is in no range.")] | None
    ) = None
    max_distance_km: Annotated[Kilometres, Meta(description="So far or less far.")] | None = None
    min_duration_minutes: Annotated[Minutes, Meta(description="So long or longer.")] | None = None
    max_duration_minutes: Annotated[Minutes, Meta(description="So long or shorter.")] | None = None
    sort: Annotated[
        Sort,
        Meta(
            description="What the list is ordered by; `-` is for falling. An unknown distance comes last in either "
            "direction. A cursor goes on in its own order only.",
            examples=["-distance"],
        ),
    ] = Sort.NEWEST


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingQuery(TableQuery, PageQuery):
    """Which of the caller's activities to list."""


def filter_of(query: TableQuery) -> ActivityFilter:
    """Raises InvalidFields."""
    errors = ParameterErrors()
    since = errors.parsed("from", query.from_, day_or_instant)
    until = errors.parsed("to", query.to, day_or_instant)
    words = errors.parsed("q", query.q, _words)
    tags = errors.parsed("tag", query.tag, tags_of)
    excluded_tags = errors.parsed("exclude_tag", query.exclude_tag, tags_of)
    distances = Range(query.min_distance_km, query.max_distance_km)
    durations = Range(query.min_duration_minutes, query.max_duration_minutes)
    errors.parsed("min_distance_km", distances, lambda one: _forwards(one, "max_distance_km"))
    errors.parsed("min_duration_minutes", durations, lambda one: _forwards(one, "max_duration_minutes"))
    errors.refuse()
    return ActivityFilter(
        activity_types=tuple(sorted({*query.type})),
        since=since,
        until=until,
        tags=tags or (),
        excluded_tags=excluded_tags or (),
        words=words or (),
        distance_km=distances,
        duration_minutes=durations,
        sort=query.sort,
    )


def _forwards(one: Range, high: str) -> Range:
    if one.low is not None and one.high is not None and one.low > one.high:
        raise ValueError(f"must not be above {high}")
    return one


def _words(text: str) -> tuple[str, ...]:
    """The words, each once and sorted, so that the same words are the same filter. Raises ValueError."""
    if problem := text_problem(text, max_length=MAX_WORDS_LENGTH):
        raise ValueError(problem)
    words = tuple(sorted({*folded(text).split()}))
    if len(words) > MAX_WORDS:
        raise ValueError(f"must be at most {MAX_WORDS} words")
    if text.strip() and not words:
        raise ValueError("must hold more than accents")
    return words


def tags_of(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The tags, each once, normalized and sorted. Raises ValueError."""
    if len(texts) > MAX_TAGS:
        raise ValueError(f"may be given at most {MAX_TAGS} times")
    tags = tuple(sorted({normalized_tag(text) for text in texts}))
    for tag in tags:
        if problem := text_problem(tag, min_length=TAG.min_length, max_length=TAG.max_length):  # may be an older one
            raise ValueError(problem)
    return tags
