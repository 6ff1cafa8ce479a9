"""An event loop for model checkers, which run tens of thousands of short scenes."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any


class SteppedLoop(asyncio.BaseEventLoop):
    """Runs what is ready when it is asked to. It has no sockets and no timers, and never waits."""

    def __init__(self) -> None:
        super().__init__()
        self._due: deque[tuple[Context, Callable[..., object], tuple[Any, ...]]] = deque()
        self._made: list[asyncio.Task[Any]] = []
        self.failures: list[dict[str, Any]] = []

    def run_ready(self) -> None:
        """Returns when everybody waits for a turn or is done."""
        due = self._due
        while due:
            context, callback, arguments = due.popleft()
            context.run(callback, *arguments)

    def end_tasks(self) -> None:
        """Cancel whatever is still under way."""
        made, self._made = self._made, []
        for task in made:
            task.cancel()
        self.run_ready()
        for task in made:
            if task.done() and not task.cancelled():
                task.exception()  # marks it as retrieved

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> None:
        """Tasks and futures do not use the handle, so none is made."""
        self._due.append((context or copy_context(), callback, args))

    def create_task(self, coro: Any, **given: Any) -> "asyncio.Task[Any]":
        task = asyncio.Task(coro, loop=self, **given)
        self._made.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A task failed and nobody asked why."""
        self.failures.append(context)


@contextmanager
def stepped_loop() -> Iterator[SteppedLoop]:
    """The running loop of this thread within the context; in place of the one that ran before."""
    before = asyncio._get_running_loop()
    loop = SteppedLoop()
    asyncio._set_running_loop(loop)
    try:
        yield loop
    finally:
        loop.end_tasks()
        asyncio._set_running_loop(before)
        loop.close()
    assert not loop.failures, loop.failures
