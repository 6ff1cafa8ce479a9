"""The boundary to Redis: a deadline that knows its own loop's delays from the server's, and errors as outages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

from redis.exceptions import RedisClusterException, RedisError

from fitness.ports.outages import Outage

DEADLINE_S = 0.05
LATE_S = 0.005
GRACE_S = 0.02
MOST_GRACES = 5


class Deadline:
    """Raises TimeoutError in the block after `seconds`.

    Where the timer itself comes late, the loop was busy, and the answer may lie in the socket unread: then there is
    another GRACE_S to read it, and so on MOST_GRACES times. Without that a busy process would take a healthy server for
    a dead one.

    A cancellation from outside always leaves the block: redis-py loses those that come while it connects.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._cancelled = self._cancellations()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._seconds, self._due, self._loop.time() + self._seconds, MOST_GRACES)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        try:
            await self._timeout.__aexit__(kind, error, trace)
        finally:
            if kind is not asyncio.CancelledError and self._cancellations() > self._cancelled:
                raise asyncio.CancelledError

    def _cancellations(self) -> int:
        task = asyncio.current_task()
        return 0 if task is None else task.cancelling()

    def _due(self, when_s: float, graces: int) -> None:
        now_s = self._loop.time()
        if graces and now_s - when_s > LATE_S:
            self._timer = self._loop.call_later(GRACE_S, self._due, now_s + GRACE_S, graces - 1)
        else:
            self._timeout.reschedule(now_s)


@asynccontextmanager
async def answering(outage: type[Outage]) -> AsyncIterator[None]:
    """One deadline over all that an operation needs of the server: connections, commands, answers. Raises `outage`."""
    try:
        async with Deadline(DEADLINE_S):
            yield
    except (RedisError, RedisClusterException, OSError) as error:
        raise outage(f"Redis does not answer: {error}") from error
