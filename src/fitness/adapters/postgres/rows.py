"""Pages from one statement: each row holds the total and an item, or NULLs in place of the item if there is none."""

from collections.abc import Callable, Sequence
from typing import Any, LiteralString

from fitness.domain.model.listings import MAX_COUNTED, Listing, Page, Position, T


def counted_sql(source: LiteralString, *, counted: bool) -> LiteralString:
    """A query for the `total` of `source` (a FROM and a WHERE), up to MAX_COUNTED + 1; NULL if not `counted`."""
    if not counted:
        return "SELECT NULL::bigint AS total"
    return f"SELECT count(*) AS total FROM (SELECT {source} LIMIT %(most)s) AS found"


def page_sql(*, columns: LiteralString, source: LiteralString, order: LiteralString, page: Page) -> LiteralString:
    """A query for a page of `source` (a FROM and a WHERE), by `order` (an instant's column) and id, both descending.

    Takes `page_parameters`.
    """
    keyset: LiteralString = f"AND ({order}, id) < (%(after_value)s, %(after_id)s)" if page.after else ""
    return f"""
        SELECT counted.total, page.*
        FROM ({counted_sql(source, counted=page.counted)}) AS counted
        LEFT JOIN LATERAL (
            SELECT {columns}
            {source} {keyset}
            ORDER BY {order} DESC, id DESC
            LIMIT %(limit)s OFFSET %(offset)s
        ) AS page ON true
        ORDER BY page.{order} DESC, page.id DESC
    """


def page_parameters(page: Page) -> dict[str, Any]:
    after = page.after
    return {
        "limit": page.limit + 1,
        "offset": page.offset,
        "most": MAX_COUNTED + 1,
        "after_value": after.value if after else None,
        "after_id": after.id if after else None,
    }


def listing(
    rows: Sequence[tuple[Any, ...]],
    page: Page,
    item: Callable[[tuple[Any, ...]], T],
    position: Callable[[T], Position],
) -> Listing[T]:
    """Makes a listing of rows that hold the total and then an item. One item more than fits on the page means that
    there are more."""
    found = [item(row[1:]) for row in rows if row[1] is not None]
    items = tuple(found[: page.limit])
    total: int | None = rows[0][0]
    if total is not None and total > MAX_COUNTED:
        total = None
    return Listing(items, total, position(items[-1]) if len(found) > page.limit else None)
