"""Query strings read strictly, and pages found by number or by cursor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import NoneType
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import msgspec
from litestar import Request, Response
from msgspec import UNSET, Meta, UnsetType

from fitness.domain.model.listings import MAX_DEPTH, MAX_LIMIT, Listing, Page
from fitness.domain.model.refusals import FieldProblem, InvalidFields
from fitness.entrypoints.http.bodies import model_of
from fitness.entrypoints.http.cursors import Order, cursor_of, position_of
from fitness.entrypoints.http.kinds import MalformedRequest
from fitness.entrypoints.http.wording import taken_by

MAX_PARAMETERS = 100
_PLACES = (b"page", b"cursor")

_NO_DAY = "must be a date such as 2026-11-22, or a time with its offset from UTC such as 2026-11-22T08:00:00Z"
_PLUS = "; write + as %2B, since a + in a query string is a space"

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """Which part of a list is asked for."""

    page: Annotated[int, Meta(ge=1, description="Page number; page x limit may not pass 10 000.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Items on a page.")] = 20
    cursor: (
        Annotated[
            str,
            Meta(
                description="`next_cursor` of the page before, as it is: on from there, to any depth. "
                "It is good for its own list and order only, and holds no filters: state them again."
            ),
        ]
        | None
    ) = None
    with_total: (
        Annotated[
            bool, Meta(description="Whether to count the list: `total` is left out if false. True unless on a cursor.")
        ]
        | None
    ) = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBody(Generic[T]):
    """Part of a list. `page` is null if a cursor was given; `next_cursor` is null at the end.

    `total` is exact up to 10 000 and null beyond; it is left out where it was not asked for.
    """

    items: tuple[T, ...]
    page: int | None
    """Its number, from 1."""
    limit: int
    """How many items it may have."""
    total: int | UnsetType | None = UNSET
    """How many items the whole list has."""
    next_cursor: str | None
    """Sent as `cursor`, as it is, it leads to the next page."""


@dataclass(frozen=True, slots=True)
class NoQuery:
    """The query string of a route that takes no parameters."""


def read_query(request: Request[Any, Any, Any], model: type[T]) -> T:
    """The request's query string as a `model`. Raises MalformedRequest, InvalidFields."""
    return parsed_query(request.scope["query_string"], model)


def parsed_query(query: bytes, model: type[T]) -> T:
    """A query string as a `model`, whose list fields may be given repeatedly.

    Raises MalformedRequest, InvalidFields.
    """
    types = {name.rstrip("_"): (name, hint) for name, hint in get_type_hints(model).items()}
    fields: dict[str, Any] = {}
    problems = []
    for name, text in _pairs(query):
        field, hint = types.get(name, (None, None))
        if field is None:
            problems.append(FieldProblem(name, "is not a parameter here"))
        elif get_origin(hint) is tuple:
            fields.setdefault(field, []).append(text)
        elif field in fields:
            problems.append(FieldProblem(name, "may be given only once"))
        elif text.lower() == "null" and NoneType in get_args(hint) and str not in get_args(hint):
            # msgspec would take it for None
            taken = taken_by(get_type_hints(model, include_extras=True)[field], by_text=True)
            problems.append(FieldProblem(name, taken))
        else:
            fields[field] = text
    return model_of(fields, model, strict=False, found=problems)


def page_of(query: PageQuery, *, order: Order) -> Page:
    """The page of a list in that `order`. Raises InvalidFields."""
    counted = query.cursor is None if query.with_total is None else query.with_total
    if query.cursor is not None:
        if query.page is not None:
            raise InvalidFields(FieldProblem("cursor", "cannot be combined with page"))
        return Page(limit=query.limit, after=position_of(query.cursor, order), counted=counted)
    number = query.page or 1
    if number * query.limit > MAX_DEPTH:
        raise InvalidFields(FieldProblem("page", f"times limit may not pass {MAX_DEPTH}; go on with cursor"))
    return Page(number=number, limit=query.limit, counted=counted)


def first_page(path: str, query: bytes) -> str:
    """The address of a list's first page: what is asked for, without the page or the cursor."""
    stated = [one for one in query.split(b"&") if one and unquote_to_bytes(one.partition(b"=")[0]) not in _PLACES]
    return path + "?" + quote(b"&".join(stated), safe="%&=+-_.~:,") if stated else path


def links(first: str, next_cursor: str | None) -> str:
    """The Link header of a page (RFC 8288)."""
    there = f'<{first}>; rel="first"'
    if next_cursor is None:
        return there
    return f'<{first}{"&" if "?" in first else "?"}cursor={next_cursor}>; rel="next", {there}'


def listed(
    request: Request[Any, Any, Any],
    found: Listing[T],
    page: Page,
    *,
    order: Order,
    said: Mapping[str, str] | None = None,
) -> Response[ListBody[T]]:
    """The answer with a page of a list; `said` are further headers."""
    body = list_body(found, page, order=order)
    first = first_page(request.scope["path"], request.scope["query_string"])
    return Response(body, headers={"Link": links(first, body.next_cursor), **(said or {})})


def list_body(found: Listing[T], page: Page, *, order: Order) -> ListBody[T]:
    return ListBody(
        items=found.items,
        page=None if page.after else page.number,
        limit=page.limit,
        total=found.total if page.counted else UNSET,
        next_cursor=cursor_of(found.next, order) if found.next else None,
    )


def day_or_instant(text: str) -> date | datetime:
    """A date, or an instant with its offset from UTC. Raises ValueError."""
    try:
        if len(text) <= len("2026-11-22"):
            return msgspec.convert(text, date)
        instant = msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise ValueError(_NO_DAY + (_PLUS if " " in text else "")) from error
    if instant.tzinfo is None:
        raise ValueError("must carry an offset from UTC, such as Z or %2B02:00")
    return instant


def instant(text: str) -> datetime:
    """An instant with its offset from UTC. Raises ValueError."""
    found = day_or_instant(text)
    if not isinstance(found, datetime):
        raise ValueError("must be a time with its offset from UTC, such as 2026-11-22T12:00:00Z")
    return found


class ParameterErrors:
    """Collects what is wrong with parameters, so that one refusal names all of it."""

    def __init__(self) -> None:
        self._problems: list[FieldProblem] = []

    def parsed(self, field: str, given: T | None, parse: Callable[[T], U]) -> U | None:
        """None if nothing is given, or if `parse` raises ValueError, which is kept for `refuse`."""
        try:
            return None if given is None else parse(given)
        except ValueError as error:
            self._problems.append(FieldProblem(field, str(error)))
            return None

    def refuse(self) -> None:
        """Raises InvalidFields if any parameter was wrong."""
        if self._problems:
            raise InvalidFields(*self._problems)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError as error:
        raise MalformedRequest("the query string is not UTF-8, or too long") from error
