"""What a store was asked, and its reply once it is there: a coroutine without the cost of one."""

from asyncio import Future, get_running_loop
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Reply(Generic[T]):
    """`read` makes the value of what the `future` ends with, once, when somebody looks."""

    __slots__ = ("_future", "_is_read", "_read", "_value")

    def __init__(self, future: "Future[Any]", read: Callable[[Any], T]) -> None:
        self._future = future
        self._read = read
        self._is_read = False
        self._value: T

    @classmethod
    def of(cls, value: T) -> "Reply[T]":
        """One that is there."""
        future: Future[T] = get_running_loop().create_future()
        future.set_result(value)
        return cls(future, lambda known: known)

    @property
    def done(self) -> bool:
        return self._future.done()

    @property
    def failed(self) -> bool:
        """Of one that is done: whether there is no value, since the store did not answer."""
        return self._future.cancelled() or self._future.exception() is not None

    @property
    def value(self) -> T:
        """Of one that is done and has not failed. Raises what `read` raises."""
        if not self._is_read:
            self._value, self._is_read = self._read(self._future.result()), True
        return self._value

    def then(self, read: Callable[[T], U]) -> "Reply[U]":
        """The same reply, read on."""
        return Reply(self._future, lambda _: read(self.value))

    def when_done(self, callback: Callable[[object], None]) -> None:
        self._future.add_done_callback(callback)

    def abandon(self) -> None:
        """Nobody looks at it any more."""
        self._future.cancel()
