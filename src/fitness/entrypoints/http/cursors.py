"""Cursors: a place in a list as text, which is good for that list in that order only."""

import base64
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from fitness.domain.model.fields import MAX_INT64
from fitness.domain.model.listings import Position, Sort
from fitness.domain.model.refusals import FieldProblem, InvalidFields

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US = int((datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) / timedelta(microseconds=1))

_Text = tuple[str, int | float | None, int]
"""The name of the order, the value (an instant in microseconds since 1970), and the id."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list: its name in cursors, and whether it is by an instant, or else by a number."""

    name: str
    """Of one list alone, so that no other takes its cursors."""
    by_instant: bool = True
    sort: bool = False
    """Whether the name is one of the values of the parameter `sort`."""


ORDERS = {sort: Order(sort.value, by_instant=sort.by == "date", sort=True) for sort in Sort}
LATEST_DELETED = Order("-deleted_at")
LATEST_ACCOUNTS = Order("accounts -created_at")
LATEST_ACTIVITIES = Order("activities -created_at")
LATEST_LOGGED = Order("-at")


def cursor_of(position: Position, order: Order) -> str:
    value = position.value
    if isinstance(value, datetime):
        value = (value - _EPOCH) // timedelta(microseconds=1)
    return _encoded((order.name, value, position.id))


def position_of(cursor: str, order: Order) -> Position:
    """Raises InvalidFields."""
    try:
        name, value, item_id = msgspec.msgpack.decode(_decoded(cursor), type=_Text)
        if not 0 < item_id <= MAX_INT64:
            raise ValueError("no id")
        if name != order.name:
            raise _refused(_other_order(name, order))
        return Position(_instant(value) if order.by_instant else _number(value), item_id)
    except (ValueError, msgspec.DecodeError) as error:
        raise _refused("is not a next_cursor of this service") from error


_CHANGES = "changes"
_Change = tuple[str, int, int]
"""The name, the owner and the number of a change."""


def change_cursor(owner: int, seq: int) -> str:
    """The cursor of the place after the owner's change with this number."""
    return _encoded((_CHANGES, owner, seq))


def change_of(cursor: str, owner: int) -> int:
    """The number of the owner's change that the cursor names. Raises InvalidFields."""
    try:
        told: _Change = msgspec.msgpack.decode(_decoded(cursor), type=_Change)
    except (ValueError, msgspec.DecodeError) as error:
        raise _refused("is not a cursor of changes") from error
    name, whose, seq = told
    if name != _CHANGES or whose != owner or not 0 <= seq <= MAX_INT64:
        raise _refused("is not a cursor of your changes")
    return seq


def _encoded(parts: tuple[object, ...]) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")


def _decoded(cursor: str) -> bytes:
    """Raises ValueError."""
    padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)


def _other_order(name: str, order: Order) -> str:
    if order.sort and name in [*Sort]:
        return f"belongs to sort={name}: ask with that, or without a cursor"
    return "is a next_cursor of another list"


def _instant(value: int | float | None) -> datetime:
    """Raises ValueError."""
    if not isinstance(value, int) or not 0 <= value <= _LAST_US:
        raise ValueError("no instant")
    return _EPOCH + timedelta(microseconds=value)


def _number(value: int | float | None) -> float | None:
    """Raises ValueError."""
    if value is not None and not math.isfinite(value):
        raise ValueError("no number")
    return None if value is None else float(value)


def _refused(message: str) -> InvalidFields:
    return InvalidFields(FieldProblem("cursor", message))
