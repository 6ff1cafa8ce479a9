"""A person's tags: each tag exists as long as an activity has it."""

from dataclasses import dataclass

from fitness.domain.model.activities import TAG, Activity, normalized_tag
from fitness.domain.model.activity_fields import Tag
from fitness.domain.model.refusals import FieldProblem, InvalidFields
from fitness.domain.model.text import text_problem

MOST_LISTED = 1_000
"""The most tags of one person in a list: those of the most activities."""


@dataclass(frozen=True, slots=True)
class TagCount:
    name: Tag
    """As it is kept: in lower case and NFC."""
    activities: int
    """How many live ones have it."""


@dataclass(frozen=True, slots=True)
class Tags:
    items: tuple[TagCount, ...]


def sought_tag(name: str) -> str:
    """The form in which the tag is kept. The tag may be older than the rules. Raises InvalidFields."""
    tag = normalized_tag(name)
    _refuse(text_problem(tag, min_length=TAG.min_length, max_length=TAG.max_length))
    return tag


def new_tag(name: str) -> str:
    """The form in which the tag will be kept. Raises InvalidFields."""
    tag = normalized_tag(name)
    _refuse(TAG.problem(tag))
    return tag


def retagged(activity: Activity, tag: str, instead: str | None) -> tuple[str, ...]:
    """The activity's tags with `instead` in place of `tag`, or without it; no tag is there twice."""
    if instead is None or instead in activity.tags:
        return tuple(one for one in activity.tags if one != tag)
    return tuple(instead if one == tag else one for one in activity.tags)


def _refuse(problem: str | None) -> None:
    if problem is not None:
        raise InvalidFields(FieldProblem("name", problem))
