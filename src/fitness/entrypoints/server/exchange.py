"""One request and its response, between a connection and the ASGI application."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

Message = dict[str, Any]
RawHeaders = list[tuple[bytes, bytes]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

WHOLE_WRITE_BYTES = 64 * 1024
"""A longer body is written in pieces of this size, each after the client has taken the one before."""

MOST_UNREAD_BYTES = 64 * 1024
"""Bytes of a body that may wait unread; beyond this, the connection is not read until the application takes them."""

REMAINDER_BYTES = 64 * 1024
"""If no more than this is missing of a body that is refused, it is read to its end, and the connection is kept."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus} | {
    499: b"HTTP/1.1 499 Client Closed Request"
}
_header_line = b": ".join

_log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """A whole response. Its headers state the length of the body, unless there is to be no body."""

    status: int
    headers: RawHeaders
    body: bytes

    def rendered(self, *, date: bytes, close: bool) -> bytes:
        lines = [_STATUS_LINES[self.status], *map(_header_line, self.headers), b"date: " + date]
        if close:
            lines.append(b"connection: close")
        lines += b"", self.body
        return b"\r\n".join(lines)


UNANSWERED = "server.unanswered"
"""The key of the scope that holds what a quick way returned in place of an Answer."""


ANSWERED = "server.answered"
"""The key of the scope that holds the status of an answer that the server gave in the application's place."""


class QuickAnswer(Protocol):
    """A pending answer that needs no task."""

    def when_ready(self, callback: Callable[[object], None]) -> None: ...

    def answer(self) -> Answer | Coroutine[Any, Any, object]:
        """Called once the answer is ready. A coroutine returns the same as the coroutine of a QuickWay."""

    def abandon(self) -> None:
        """Called when the client has left."""


QuickWay = Callable[[str, bytes, RawHeaders], QuickAnswer | Coroutine[Any, Any, object] | None]
"""An application's shorter way to answer some requests without a body. It takes the method, the target and the headers,
and returns None for a request that it does not know. A coroutine returns an Answer, or a value that is put into the
scope as UNANSWERED before the application is called as usual.
"""


TakesSocket = Callable[[str], bool]
"""Whether the application has a WebSocket at this path."""


class Outgoing(Protocol):
    """What an exchange needs of its connection."""

    @property
    def date(self) -> bytes:
        """The Date header's value."""

    @property
    def closing(self) -> bool:
        """Whether the connection ends after this exchange."""

    def write(self, data: bytes | memoryview) -> None: ...

    async def drained(self) -> None:
        """Returns when the client has taken what was written, or is gone."""

    def read_on(self, on: bool) -> None: ...

    def ended(self, exchange: "Exchange") -> None:
        """The response is complete, or there will be none."""


class Exchange:
    """`body_left` is how many bytes of the request's body are still to come; None if the length is not known."""

    def __init__(
        self, connection: Outgoing, scope: Message, *, body_left: int | None, expects_continue: bool, keep_alive: bool
    ) -> None:
        self.scope = scope
        self.task: asyncio.Task[None] | None = None
        self.called = False
        """Whether the application has been called for this request."""
        self.received_all = body_left == 0
        self.received_bytes = 0
        self.answered = False
        """Whether the response is complete."""
        self.keep_alive = keep_alive
        self._is_head = scope["method"] == "HEAD"
        self._connection = connection
        self._body_left = body_left
        self._expects_continue = expects_continue
        self._gone = False
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._handed_over = False
        self._waiting: asyncio.Future[None] | None = None
        self._head: Message | None = None
        self._started = False
        self._chunked = False

    @property
    def started(self) -> bool:
        """Whether a part of the response has been written."""
        return self._started

    # Called by the connection.

    def body_came(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._body_left is not None:
            self._body_left -= len(data)
        if self.answered:
            return
        self._unread.append(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > MOST_UNREAD_BYTES:
            self._connection.read_on(False)
        self._wake()

    def body_ended(self) -> None:
        self.received_all = True
        if self._unread_bytes > MOST_UNREAD_BYTES:
            self._connection.read_on(True)  # the next bytes are the next request's
        self._wake()

    def client_left(self) -> None:
        """Cancel the application's task: no answer can reach a client that has left."""
        self._gone = True
        if self.task is not None:
            self.task.cancel()

    # Called by the application.

    async def run(self, app: ASGIApp) -> None:
        self.called = True
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self._gone:
                raise
        except Exception:  # noqa: BLE001 - whatever the application raises, the client gets an answer
            _log.exception("%s %s failed", self.scope["method"], self.scope["path"])
        finally:
            if not self.answered:
                self._connection.ended(self)

    async def receive(self) -> Message:
        if self._expects_continue and not self._started:
            self._expects_continue = False
            self._connection.write(CONTINUE)
        while not (self._unread or self._gone or (self.received_all and not self._handed_over)):
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if self._gone:
            return {"type": "http.disconnect"}
        body = b"".join(self._unread)
        self._unread.clear()
        self._unread_bytes = 0
        self._handed_over = self.received_all
        if not self.received_all:
            self._connection.read_on(True)
        return {"type": "http.request", "body": body, "more_body": not self.received_all}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            if self._head is not None:
                raise RuntimeError("this response has begun already")
            self._head = message
        elif kind == "http.response.body":
            if self._head is None or self.answered:
                raise RuntimeError("this response has not begun, or is complete")
            body, more = message.get("body", b""), message.get("more_body", False)
            if self._gone:
                return
            if self._started:
                await self._send_on(body, more)
            elif more or len(body) > WHOLE_WRITE_BYTES:
                await self._send_first(body, more)
            else:
                self.answer(self._head["status"], self._head["headers"], body)

    def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Write the whole response at once."""
        head = self._rendered(status, [*headers], len(body))
        self._started = True
        self._connection.write(head if self._bodiless(status) else head + body)
        self._end()

    # Writing the response.

    async def _send_first(self, body: bytes, more: bool) -> None:
        head = self._head
        assert head is not None
        rendered = self._rendered(head["status"], [*head["headers"]], None if more else len(body))
        self._started = True
        self._connection.write(rendered)
        await self._send_on(body, more)

    async def _send_on(self, body: bytes, more: bool) -> None:
        if not self._bodiless(self._head["status"] if self._head else 200):
            view = memoryview(body)
            for begin in range(0, len(view), WHOLE_WRITE_BYTES):
                piece = view[begin : begin + WHOLE_WRITE_BYTES]
                self._connection.write(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if self._chunked else piece)
                await self._connection.drained()
                if self._gone:
                    return
            if self._chunked and not more:
                self._connection.write(b"0\r\n\r\n")
        if not more:
            self._end()

    def _rendered(self, status: int, headers: RawHeaders, length: int | None) -> bytes:
        """The head, with what the connection adds to it. `length` is the body's; None if it is not known yet."""
        headers.append((b"date", self._connection.date))
        if not any(name == b"content-length" for name, _ in headers) and status not in (204, 304):
            if length is not None:
                headers.append((b"content-length", b"%d" % length))
            elif self.scope["http_version"] == "1.1":
                self._chunked = True
                headers.append((b"transfer-encoding", b"chunked"))
            else:
                self.keep_alive = False  # the end of the connection marks the end of the body
        if not self.received_all and (self._body_left is None or self._body_left > REMAINDER_BYTES):
            self.keep_alive = False
        if self._expects_continue:  # the client may send its body or not: nobody knows where the next request begins
            self.keep_alive = False
        if self._connection.closing:
            self.keep_alive = False
        if not self.keep_alive:
            headers.append((b"connection", b"close"))
        elif self.scope["http_version"] == "1.0":
            headers.append((b"connection", b"keep-alive"))
        head = b"\r\n".join([_STATUS_LINES[status], *map(_header_line, headers), b"", b""])
        if head.count(b"\n") != len(headers) + 2 or head.count(b"\r") != len(headers) + 2:
            raise ValueError("a header of the response holds a line break")
        return head

    def _bodiless(self, status: int) -> bool:
        return self._is_head or status in (204, 304)

    def _end(self) -> None:
        self.answered = True
        self._unread.clear()
        self._connection.ended(self)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
