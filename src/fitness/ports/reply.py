"""The reply of a store to a question that was sent: like a coroutine, without the cost of one."""

from asyncio import get_running_loop
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
U = TypeVar("U")


class Reply(Generic[T]):
    """A reply is settled once, as a Future is, but its callback is called in the same turn of the event loop.

    `read` makes the value from the answer, when the value is first looked at.
    """

    __slots__ = ("_answer", "_callback", "_reads", "_settled", "failed")

    def __init__(self, read: Callable[[Any], T] | None = None) -> None:
        self._settled = False
        self.failed = False
        """Whether there is no value, because the store did not answer, or because the reply was abandoned."""
        self._reads: tuple[Callable[[Any], Any], ...] = () if read is None else (read,)
        self._answer: Any = None
        self._callback: Callable[[Reply[T]], None] | None = None

    @classmethod
    def of(cls, value: T) -> "Reply[T]":
        """A reply that is done, with this value."""
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
        """The value of a reply that is done and has not failed. Raises what `read` raises."""
        if self._reads:
            answer = self._answer
            for read in self._reads:
                answer = read(answer)
            self._answer, self._reads = answer, ()
        return cast("T", self._answer)

    def then(self, read: Callable[[T], U]) -> "Reply[U]":
        """The same reply; its value is then what `read` makes of the present value."""
        self._reads += (read,)
        return cast("Reply[U]", self)

    def when_done(self, callback: Callable[[object], None]) -> None:
        """Call `callback` with this reply when it is done; at once if it is done already. One callback at most."""
        if self._settled:
            callback(self)
        else:
            self._callback = callback

    def abandon(self) -> None:
        """Drop the callback. A reply that is not done yet counts as failed from now on."""
        self._callback = None
        if not self._settled:
            self._settled = self.failed = True

    def _settle(self) -> None:
        self._settled = True
        callback, self._callback = self._callback, None
        if callback is not None:
            try:
                callback(self)
            except Exception as error:  # noqa: BLE001 - an error of the callback must not reach the settling code
                context = {"message": "a callback of a reply failed", "exception": error}
                get_running_loop().call_exception_handler(context)
