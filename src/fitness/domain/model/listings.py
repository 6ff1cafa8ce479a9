"""Lists and the places in them: pages by number, or onward from a position."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar

from fitness.domain.model.activities import ActivityType

T = TypeVar("T")

MAX_LIMIT = 100
MAX_DEPTH = 10_000
"""page x limit may not pass this; a cursor may."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list ordered by an instant and then an id, both falling."""

    at: datetime
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The `number`th page of `limit` items, from 1; or, where `after` is set, the `limit` items following it."""

    number: int = 1
    limit: int = 20
    after: Position | None = None

    @property
    def offset(self) -> int:
        return 0 if self.after else (self.number - 1) * self.limit


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Some of `total` items; `next` is the last one's position if there are more."""

    items: tuple[T, ...]
    total: int
    next: Position | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityFilter:
    """Which activities a list is of; what is left empty does not narrow it."""

    activity_type: ActivityType | None = None
    since: date | datetime | None = None
    """A date: that local day or later. An instant: started then or later."""
    until: date | datetime | None = None
    """A date: that local day or earlier. An instant: started before it."""
    tags: tuple[str, ...] = ()
    """Has every one of them."""
    excluded_tags: tuple[str, ...] = ()
    """Has none of them."""
    words: str | None = None
    """Stands in the title or the notes, in any letter case."""
