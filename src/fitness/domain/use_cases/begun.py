"""Work that begins at once and is awaited later, without a task."""

from asyncio import Future
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class Begun(Generic[T]):
    """`work` runs at once, up to where it first waits; to await this object runs the rest.

    So one coroutine has two questions under way at a time, in one round trip. A task would do the same at ten times the
    cost: two turns of the event loop and a context.

    A context manager: work that was not awaited when the context ends is abandoned, and what it waits for is cancelled.
    """

    __slots__ = ("_awaited", "_ended", "_error", "_result", "_waits_for", "_work")

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._awaited = self._ended = False
        self._result: T
        self._error: BaseException | None = None
        self._waits_for: Any = None
        try:
            self._waits_for = work.send(None)
        except StopIteration as end:
            self._ended, self._result = True, end.value
        except BaseException as error:  # noqa: BLE001 - raised to whoever awaits, as a task would
            self._ended, self._error = True, error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not (self._awaited or self._ended):
            if isinstance(self._waits_for, Future):
                self._waits_for.cancel()
            self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        self._awaited = True
        if self._error is not None:
            raise self._error
        if self._ended:
            return self._result
        waits_for = self._waits_for
        try:
            # A future that is done by now need not be waited for.
            while isinstance(waits_for, Future) and waits_for.done():
                waits_for = self._work.send(None)
            while True:  # what the work waits for is handed to the event loop, as `await` does
                try:
                    given = yield waits_for
                except BaseException as error:  # noqa: BLE001 - a cancellation: the work has to see it
                    waits_for = self._work.throw(error)
                else:
                    waits_for = self._work.send(given)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
