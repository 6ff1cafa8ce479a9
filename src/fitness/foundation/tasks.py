"""Background tasks that are neither collected while they run nor fail unnoticed."""

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


def mark_retrieved(task: "asyncio.Future[Any]") -> None:
    """Mark the exception of an ended task as retrieved: whoever awaited the task has it, or gave up at a deadline."""
    if not task.cancelled():
        task.exception()


class SupervisedTasks:
    """Keeps a reference to each task until it ends; the event loop itself keeps only a weak one."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, T], *, log_errors: bool = True) -> asyncio.Task[T]:
        """A task that runs `work`. Without `log_errors`, whoever awaits the task deals with its exception."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._logged if log_errors else self._unlogged)
        return task

    def start_for_all(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """As `start`, for work that serves many requests: its log lines and spans do not belong to the present one."""
        return Context().run(self.start, work)

    async def wait(self) -> None:
        """Returns when every task has ended by itself, whatever became of it."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def close(self) -> None:
        """Cancel every task and wait until all have ended."""
        tasks = [*self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _logged(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a background task failed", exc_info=error)

    def _unlogged(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        mark_retrieved(task)
