"""What a field takes, in words for a client that sent something else."""

from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import Meta, UnsetType

from fitness.domain.model.fields import Number

_WORDS: Mapping[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    date: "a date such as 2026-05-01",
    datetime: "a time with its offset from UTC, such as 2026-05-01T08:00:00+02:00",
}


@cache
def taken_by(hint: Any, *, by_text: bool = False) -> str:
    """What a field of this type takes. `by_text`, as in a query string, there is no null."""
    choices = [one for one in _choices(hint) if one is not UnsetType]
    said = " or ".join(_said(one) for one in choices if one is not NoneType)
    return f"must be {said} or null" if NoneType in choices and not by_text else f"must be {said}"


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _said(hint: Any) -> str:
    marks: tuple[Any, ...] = ()
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        marks += tuple(more)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(str(member.value) for member in hint)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_said(one) for one in get_args(hint) if one is not NoneType)
    if get_origin(hint) is tuple:
        of = _said(get_args(hint)[0])
        return of if of.startswith("one of") else f"a list, each item {of}"
    words = _WORDS.get(hint, "of another type")
    return words + "".join(_bounds(mark) for mark in marks)


def _bounds(mark: Any) -> str:
    if isinstance(mark, Number):
        return _between(mark.low, mark.high, above=mark.above)
    if isinstance(mark, Meta) and (mark.ge is not None or mark.gt is not None):
        low = mark.ge if mark.ge is not None else mark.gt
        return _between(low, mark.le, above=mark.gt is not None)
    return ""


def _between(low: float | None, high: float | None, *, above: bool) -> str:
    start = f" above {low:,}" if above else f" from {low:,}"
    end = "" if high is None else f" and at most {high:,}" if above else f" to {high:,}"
    return (start + end).replace(",", " ")
