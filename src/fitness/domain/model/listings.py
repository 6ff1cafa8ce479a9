"""Lists and places in them: pages by number, or the items after a position."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Generic, TypeVar

from fitness.domain.model.activities import Activity, ActivityType

T = TypeVar("T")

MAX_LIMIT = 100
MAX_DEPTH = 10_000
"""page x limit may not pass this; a cursor may go deeper."""
MAX_COUNTED = 10_000
"""Items are counted up to here, so that a total never costs more than this many; not below MAX_DEPTH."""


class Sort(StrEnum):
    """The orders of a list of activities, as a query string names them: by one value, ties by id in its direction.

    A minus sign is for falling. In either direction an unknown value comes last.
    """

    NEWEST = "-date"
    OLDEST = "date"
    FARTHEST = "-distance"
    NEAREST = "distance"
    LONGEST = "-duration"
    SHORTEST = "duration"

    @property
    def by(self) -> str:
        """`date`, `distance` or `duration`."""
        return self.value.lstrip("-")

    @property
    def falling(self) -> bool:
        return self.value.startswith("-")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list that is ordered by a value and then an id. None is an unknown value."""

    value: datetime | float | None
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The `number`th page of `limit` items, from 1; or, where `after` is set, the `limit` items following it."""

    number: int = 1
    limit: int = 20
    after: Position | None = None
    counted: bool = True
    """Whether the listing's total is asked for."""

    @property
    def offset(self) -> int:
        return 0 if self.after else (self.number - 1) * self.limit


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Some of `total` items; `next` is the last one's position if there are more.

    `total` is None where the page is not counted, and where there are more than MAX_COUNTED.
    """

    items: tuple[T, ...]
    total: int | None
    next: Position | None


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both inclusive; None leaves that side open. An unknown value is in no range with a side."""

    low: float | None = None
    high: float | None = None

    def holds(self, value: float | None) -> bool:
        if value is None:
            return self.low is None and self.high is None
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)


EVERYTHING = Range()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityFilter:
    """Which activities a list holds, and in which order; a field that is left empty does not narrow it."""

    activity_types: tuple[ActivityType, ...] = ()
    """The activity is of one of these types."""
    since: date | datetime | None = None
    """A date: that local day or later. An instant: started then or later."""
    until: date | datetime | None = None
    """A date: that local day or earlier. An instant: started before it."""
    tags: tuple[str, ...] = ()
    """The activity has every one of these tags."""
    excluded_tags: tuple[str, ...] = ()
    """The activity has none of these tags."""
    words: tuple[str, ...] = ()
    """Each word stands in the title or the notes, perhaps as a part of a longer word. Given in their `folded` form."""
    distance_km: Range = EVERYTHING
    duration_minutes: Range = EVERYTHING
    sort: Sort = Sort.NEWEST


def position_of(activity: Activity, sort: Sort) -> Position:
    """Where `activity` stands in a list of that order."""
    values = {
        "date": activity.activity_date,
        "distance": activity.distance_km,
        "duration": activity.duration_minutes,
    }
    return Position(values[sort.by], activity.id)
