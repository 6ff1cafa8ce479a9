"""What a field may hold and what it is, declared once: values are judged by it, and the API's document is made from it.

A declaration stands in the field's type: `Annotated[float, Number(0, 2_000), Says("Kilometres.", 9.1)]`.
"""

from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `low` to `high`, both inclusive; with `above`, `low` itself is excluded."""

    low: float
    high: float
    above: bool = False
    kept_to: float = 0
    """The step to which a value is rounded before it is judged; 0 means that it is not rounded."""

    def problem(self, value: float) -> str | None:
        """Why `value` cannot be kept, or None."""
        if self.low < value <= self.high if self.above else self.low <= value <= self.high:
            return None
        bound = f"above {self.low}" if self.above else f"at least {self.low}"
        return f"must be {bound} and at most {self.high:,}".replace(",", " ")


@dataclass(frozen=True, slots=True)
class Length:
    """The length of a text in characters, both bounds inclusive."""

    min_length: int
    max_length: int


@dataclass(frozen=True, slots=True)
class Items:
    """How many items a list may hold, both bounds inclusive."""

    most: int | None = None
    fewest: int = 0


@dataclass(frozen=True, slots=True)
class Says:
    """For whoever reads the API's document: what the field is, in which unit, with an example that is accepted."""

    words: str
    example: object = None
    format: str | None = None
    """The format as JSON Schema names it; None if the type implies it."""
    pattern: str | None = None


MAX_INT64 = 2**63 - 1
Id = Annotated[int, Number(1, MAX_INT64)]


def rules_of(model: type[Any], kind: type[R]) -> dict[str, R]:
    """The fields of a dataclass or TypedDict that declare a rule of this kind, each with its rule."""
    hints = get_type_hints(model, include_extras=True)
    found = {
        name: next((rule for rule in marks_of(hint) if isinstance(rule, kind)), None) for name, hint in hints.items()
    }
    return {name: rule for name, rule in found.items() if rule is not None}


def marks_of(hint: Any) -> tuple[Any, ...]:
    """What a field declares beside its type, whether or not the field may be None."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        return (*marks, *marks_of(inner))
    if get_origin(hint) in (Union, UnionType):
        return tuple(mark for one in get_args(hint) for mark in marks_of(one))
    return ()
