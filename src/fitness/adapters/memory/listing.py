"""Pages cut from sequences."""

from collections.abc import Callable, Iterable

from fitness.domain.model.listings import MAX_COUNTED, Listing, Page, Position, T


def listing(found: Iterable[T], page: Page, position: Callable[[T], Position], *, falling: bool = True) -> Listing[T]:
    """The page of `found` in the order of their positions, unknown values last."""

    def place(at: Position) -> tuple[object, ...]:
        unknown = at.value is None
        return (unknown != falling, 0 if unknown else at.value, at.id)

    everything = sorted(found, key=lambda item: place(position(item)), reverse=falling)
    onward = everything
    if page.after is not None:
        after = place(page.after)
        onward = [
            item for item in everything if (place(position(item)) < after if falling else place(position(item)) > after)
        ]
    items = tuple(onward[page.offset : page.offset + page.limit])
    more = len(onward) > page.offset + page.limit
    total = len(everything) if page.counted and len(everything) <= MAX_COUNTED else None
    return Listing(items, total, position(items[-1]) if more and items else None)
