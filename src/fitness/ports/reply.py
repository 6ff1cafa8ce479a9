"""What a store was asked, and its reply once it is there: a coroutine without the cost of one."""

from asyncio import get_running_loop
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
U = TypeVar("U")


class Reply(Generic[T]):
    """It is settled once, as a Future is, but who waits for it is called in the same turn of the event loop.

    `read` makes the value of what it is settled with, when somebody first looks.
    """

    __slots__ = ("_answer", "_callback", "_reads", "_settled", "failed")

    def __init__(self, read: Callable[[Any], T] | None = None) -> None:
        self._settled = False
        self.failed = False
        """Whether there is no value, since the store did not answer, or nobody looks any more."""
        self._reads: tuple[Callable[[Any], Any], ...] = () if read is None else (read,)
        self._answer: Any = None
        self._callback: Callable[[Reply[T]], None] | None = None

    @classmethod
    def of(cls, value: T) -> "Reply[T]":
        """One that is there."""
        reply = cls()
        reply.set_result(value)
        return reply

    def done(self) -> bool:
        return self._settled

    def set_result(self, answer: Any) -> None:
        self._answer = answer
        self._settle()

    def set_exception(self, _: Exception) -> None:
        self.failed = True
        self._settle()

    @property
    def value(self) -> T:
        """Of one that is done and has not failed. Raises what `read` raises."""
        if self._reads:
            answer = self._answer
            for read in self._reads:
                answer = read(answer)
            self._answer, self._reads = answer, ()
        return cast("T", self._answer)

    def then(self, read: Callable[[T], U]) -> "Reply[U]":
        """The same reply, whose value is read on."""
        self._reads += (read,)
        return cast("Reply[U]", self)

    def when_done(self, callback: Callable[[object], None]) -> None:
        """At once, if it is done. One callback at most."""
        if self._settled:
            callback(self)
        else:
            self._callback = callback

    def abandon(self) -> None:
        """Nobody looks at it any more."""
        self._callback = None
        if not self._settled:
            self._settled = self.failed = True

    def _settle(self) -> None:
        self._settled = True
        callback, self._callback = self._callback, None
        if callback is not None:
            try:
                callback(self)
            except Exception as error:  # noqa: BLE001 - who settles it must not fail for who waits for it
                context = {"message": "a callback of a reply failed", "exception": error}
                get_running_loop().call_exception_handler(context)
