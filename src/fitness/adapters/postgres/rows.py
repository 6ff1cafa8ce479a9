"""Pages as one statement brings them: the total in each row, beside an item or beside NULLs when there is none."""

from collections.abc import Callable, Sequence
from typing import Any, LiteralString

from fitness.domain.model.listings import Listing, Page, Position, T


def page_sql(*, columns: LiteralString, source: LiteralString, order: LiteralString, onward: bool) -> LiteralString:
    """A page of `source` (a FROM and a WHERE), by `order` (an instant's column) and id, both falling.

    Parameters limit, one more than the page, and offset; where it goes `onward` from a position, after_at and after_id.
    """
    keyset: LiteralString = f"AND ({order}, id) < (%(after_at)s, %(after_id)s)" if onward else ""
    return f"""
        SELECT counted.total, page.*
        FROM (SELECT count(*) AS total {source}) AS counted
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
        "after_at": after.at if after else None,
        "after_id": after.id if after else None,
    }


def listing(
    rows: Sequence[tuple[Any, ...]],
    page: Page,
    item: Callable[[tuple[Any, ...]], T],
    position: Callable[[T], Position],
) -> Listing[T]:
    found = [item(row[1:]) for row in rows if row[1] is not None]
    items = tuple(found[: page.limit])
    return Listing(items, int(rows[0][0]), position(items[-1]) if len(found) > page.limit else None)
