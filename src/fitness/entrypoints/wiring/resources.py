"""What was made and has to be closed again."""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

T = TypeVar("T")


class Resources:
    """Closes what `keep` made: the latest first, so that each is closed before what it stands on."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    def keep(self, close: Callable[[T], Awaitable[None] | None], make: Callable[..., T], *arguments: object) -> T:
        """What `make` returns, to be closed by `close`."""
        made = make(*arguments)
        self._stack.push_async_callback(_closed, close, made)
        return made

    async def close(self) -> None:
        """Closes everything, also where closing one of them raises."""
        await self._stack.aclose()


async def _closed(close: Callable[[T], Awaitable[None] | None], made: T) -> None:
    closing = close(made)
    if inspect.isawaitable(closing):
        await closing
