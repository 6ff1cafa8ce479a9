"""Resources that have to be closed again."""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

T = TypeVar("T")


class Resources:
    """Closes what `keep` made, the latest first, so that each resource is closed before those that it uses."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    def keep(
        self, close: Callable[[T], Awaitable[None] | None], make: Callable[..., T], *arguments: object, **named: object
    ) -> T:
        """What `make` returns, to be closed by `close`."""
        made = make(*arguments, **named)
        self._stack.push_async_callback(_closed, close, made)
        return made

    async def close(self) -> None:
        """Closes everything, even if closing one resource raises."""
        await self._stack.aclose()


async def _closed(close: Callable[[T], Awaitable[None] | None], made: T) -> None:
    closing = close(made)
    if inspect.isawaitable(closing):
        await closing
