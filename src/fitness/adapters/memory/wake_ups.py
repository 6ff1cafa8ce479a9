"""Wake-ups within this one process."""

import asyncio
from collections.abc import Callable


class InMemoryWakeUps:
    def __init__(self) -> None:
        self._listeners: list[Callable[[int], None]] = []

    @property
    def listens(self) -> bool:
        """Whether there is a listener."""
        return bool(self._listeners)

    def announce(self, user_id: int) -> None:
        for woken in self._listeners:
            woken(user_id)

    async def listen(self, woken: Callable[[int], None]) -> None:
        self._listeners.append(woken)
        try:
            await asyncio.Event().wait()
        finally:
            self._listeners.remove(woken)
