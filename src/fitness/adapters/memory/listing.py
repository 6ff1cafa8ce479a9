"""Pages cut from sequences."""

from collections.abc import Callable, Iterable

from fitness.domain.model.listings import Listing, Page, Position, T


def listing(found: Iterable[T], page: Page, position: Callable[[T], Position]) -> Listing[T]:
    """The page of `found`, latest position first."""

    def place(item: T) -> tuple[object, ...]:
        return (position(item).at, position(item).id)

    everything = sorted(found, key=place, reverse=True)
    onward = everything
    if page.after is not None:
        after = (page.after.at, page.after.id)
        onward = [item for item in everything if place(item) < after]
    items = tuple(onward[page.offset : page.offset + page.limit])
    more = len(onward) > page.offset + page.limit
    return Listing(items, len(everything), position(items[-1]) if more and items else None)
