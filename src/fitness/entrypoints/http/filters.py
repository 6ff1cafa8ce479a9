"""Which activities a query string asks for."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from fitness.domain.model.activities import MAX_TAG_LENGTH, MAX_TAGS, ActivityType, normalized_tag
from fitness.domain.model.listings import ActivityFilter
from fitness.domain.model.text import composed, text_problem
from fitness.entrypoints.http.queries import PageQuery, ParameterErrors, day_or_instant

MAX_WORDS_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingQuery(PageQuery):
    """Which of the caller's activities to list."""

    type: Annotated[ActivityType, Meta(description="Of this type.")] | None = None
    from_: (
        Annotated[str, Meta(description="A date: on that local day or later. An instant: started then or later.")]
        | None
    ) = None
    to: (
        Annotated[str, Meta(description="A date: on that local day or earlier. An instant: started before it.")] | None
    ) = None
    tag: Annotated[tuple[str, ...], Meta(description="Has this tag; repeat it to ask for several at once.")] = ()
    exclude_tag: Annotated[tuple[str, ...], Meta(description="Lacks this tag; repeatable.")] = ()
    q: Annotated[str, Meta(description="Stands in the title or the notes, in any letter case.")] | None = None


def filter_of(query: ListingQuery) -> ActivityFilter:
    """Raises InvalidFields."""
    errors = ParameterErrors()
    since = errors.parsed("from", query.from_, day_or_instant)
    until = errors.parsed("to", query.to, day_or_instant)
    words = errors.parsed("q", query.q, _words)
    tags = errors.parsed("tag", query.tag, _tags)
    excluded_tags = errors.parsed("exclude_tag", query.exclude_tag, _tags)
    errors.refuse()
    return ActivityFilter(
        activity_type=query.type,
        since=since,
        until=until,
        tags=tags or (),
        excluded_tags=excluded_tags or (),
        words=words,
    )


def _words(text: str) -> str | None:
    tidy = composed(text.strip(), max_length=MAX_WORDS_LENGTH)
    if problem := text_problem(tidy, max_length=MAX_WORDS_LENGTH):
        raise ValueError(problem)
    return tidy or None


def _tags(texts: tuple[str, ...]) -> tuple[str, ...]:
    tags = tuple(sorted({normalized_tag(text) for text in texts}))
    if len(tags) > MAX_TAGS:
        raise ValueError(f"may be given at most {MAX_TAGS} times")
    for tag in tags:
        if problem := text_problem(tag, min_length=1, max_length=MAX_TAG_LENGTH):
            raise ValueError(problem)
    return tags
