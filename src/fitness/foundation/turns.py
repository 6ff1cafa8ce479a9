"""Turns: one at a time for each key, with a bounded queue."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager


class Turns:
    """At most `most` callers have a turn or wait for one, and at most `most_each` of them under one key.

    Further callers are refused with the exception that `full` makes.
    """

    def __init__(self, *, most: int, most_each: int, full: Callable[[], Exception]) -> None:
        self._most = most
        self._full = full
        self._most_each = most_each
        self._admitted: Counter[Hashable] = Counter()
        self._locks: dict[Hashable, asyncio.Lock] = {}

    @property
    def count(self) -> int:
        """The number of callers that have a turn or wait for one."""
        return self._admitted.total()

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncIterator[None]:
        """A turn that begins when all earlier turns under this key have ended. Raises what `full` makes."""
        if self.count >= self._most or self._admitted[key] >= self._most_each:
            raise self._full()
        self._admitted[key] += 1
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            self._admitted[key] -= 1
            if not self._admitted[key]:
                del self._admitted[key], self._locks[key]
