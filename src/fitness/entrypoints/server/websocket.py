"""A connection that has become a WebSocket (RFC 6455), between the transport and the ASGI application.

The library websockets handles the frames and the handshake; this module adds deadlines, bounds and the ASGI messages.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress

from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import SEND_EOF, State
from websockets.server import ServerProtocol

from fitness.entrypoints.server.exchange import Answer, ASGIApp, Message
from fitness.entrypoints.server.heads import Head
from fitness.entrypoints.server.home import Home, Kept

MOST_MESSAGE_BYTES = 4 * 1024
MOST_UNREAD_MESSAGES = 8
"""Messages that may wait for the application; one more closes the WebSocket, since clients have little to say."""

PING_S = 20.0
"""How long a client may be silent before a ping is sent."""

PONG_S = 20.0
"""The time after a ping for the client to send anything; then it is cut off."""

CLOSING_S = 5.0
"""The time for the client to read what was written and to answer the close; then it is cut off."""

SERVICE_RESTART = 1012

_MEANS = {Opcode.TEXT: "text", Opcode.BINARY: "bytes"}
_quiet = logging.getLogger(f"{__name__}.frames")
_quiet.setLevel(logging.WARNING)
_log = logging.getLogger(__name__)


def become_socket(
    before: Kept, home: Home, transport: asyncio.Transport, head: Head, scope: Message
) -> "Socket | None":
    """Make a Socket the transport's protocol, and return it. None for an invalid handshake, answered with 400."""
    headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers])
    request = Request(head.target.decode("latin-1"), headers, method=head.method)
    response = ServerProtocol(logger=_quiet).accept(request)
    if response.status_code != 101:
        home.refused(400)
        transport.write(_refusal(home, 400, "this is no handshake of a WebSocket of version 13"))
        transport.close()
        return None
    scope = {name: value for name, value in scope.items() if name != "method"}
    socket = Socket(home, transport, scope | {"type": "websocket", "scheme": "ws"}, response.serialize())
    transport.set_protocol(socket)
    home.became(before, socket)
    return socket


def _refusal(home: Home, status: int, detail: str) -> bytes:
    headers, body = home.problem(status, detail)
    headers += [(b"content-length", b"%d" % len(body)), (b"sec-websocket-version", b"13")]
    return Answer(status, headers, body).rendered(date=home.date, close=True)


class Socket(asyncio.Protocol):
    """`accepting` is the handshake's answer, which is written once the application accepts."""

    def __init__(self, home: Home, transport: asyncio.Transport, scope: Message, accepting: bytes) -> None:
        self.scope = scope
        self._transport = transport
        self._accepting: bytes | None = accepting
        self._home = home
        self._loop = asyncio.get_running_loop()
        self._protocol = ServerProtocol(state=State.OPEN, max_size=MOST_MESSAGE_BYTES, logger=_quiet)
        self._events: deque[Message] = deque([{"type": "websocket.connect"}])
        self._come: asyncio.Future[None] | None = None
        """Completed by the next event, once the application waits for one."""
        self._spoken = False
        """Whether the application has sent a message."""
        self._parts: list[bytes] = []
        self._kind = ""
        self._drained: asyncio.Future[None] | None = None
        self._heard_s = self._loop.time()
        self._asked_s: float | None = None
        """When the unanswered ping was sent; None while no ping is unanswered."""
        self._closing_s: float | None = None
        self._told = False
        """Whether `websocket.disconnect` has been queued for the application."""
        self._task: asyncio.Task[None] | None = None

    def begin(self, app: ASGIApp, first: bytes) -> None:
        """`first` holds the bytes that came after the handshake."""
        self._task = self._loop.create_task(self._run(app))
        if first:
            self.data_received(first)

    # Called by the transport.

    def data_received(self, data: bytes) -> None:
        self._heard_s, self._asked_s = self._loop.time(), None
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame):
                self._frame_came(frame)
        self._flush()

    def eof_received(self) -> bool:
        if not self._protocol.eof_sent:
            self._protocol.receive_eof()
            self._protocol.events_received()
        return False

    def connection_lost(self, _: Exception | None) -> None:
        self._over(CloseCode.ABNORMAL_CLOSURE)
        self.resume_writing()
        self._home.left(self)

    def pause_writing(self) -> None:
        """Reading pauses as well, since each ping that is read makes an answer to write."""
        self._drained = self._loop.create_future()
        with suppress(RuntimeError):
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
        if not self._transport.is_closing():
            with suppress(RuntimeError):
                self._transport.resume_reading()

    # Called by the listener.

    def look(self, now_s: float) -> None:
        """End the connection if it has passed a deadline; send a ping if the client has been silent."""
        if self._closing_s is not None:
            if now_s - self._closing_s > CLOSING_S:
                self._transport.abort()
        elif self._asked_s is not None:
            if now_s - self._asked_s > PONG_S:
                self._transport.abort()
        elif now_s - self._heard_s > PING_S and self._accepting is None:
            self._asked_s = now_s
            self._protocol.send_ping(b"")
            self._flush()

    @property
    def waits_for_client(self) -> bool:
        """True while the WebSocket closes, and while the application waits for the client to say who it is. Once the
        application has sent a message, the client waits for it.
        """
        if self._closing_s is not None:
            return True
        return not self._spoken and self._come is not None and not self._come.done()

    def end(self) -> None:
        self._transport.abort()

    def end_if_idle(self) -> None:
        """Close in any case: a WebSocket never ends by itself."""
        self._close(SERVICE_RESTART, "the service restarts: connect again")

    # Called by the application.

    async def _run(self, app: ASGIApp) -> None:
        try:
            await app(self.scope, self._receive, self._send)
        except Exception:  # noqa: BLE001 - whatever the application raises, the client is told that it is over
            _log.exception("the WebSocket %s failed", self.scope["path"])
            self._close(CloseCode.INTERNAL_ERROR, "the service failed; the failure has been logged")
        finally:
            self._close(CloseCode.NORMAL_CLOSURE, "")

    async def _receive(self) -> Message:
        while not self._events:
            self._come = self._loop.create_future()
            await self._come
        return self._events.popleft()

    async def _send(self, message: Message) -> None:
        """Returns once the client has taken most of what was written. Raises RuntimeError if the WebSocket is over."""
        kind = message["type"]
        if kind == "websocket.close":
            self._close(message.get("code", CloseCode.NORMAL_CLOSURE), message.get("reason") or "")
            return
        if self._told:
            raise RuntimeError("the WebSocket has been closed")
        if kind == "websocket.accept":
            if self._accepting is not None:
                self._transport.write(self._accepting)
                self._accepting = None
        elif kind == "websocket.send":
            self._spoken = True
            self._protocol.send_text(message["text"].encode())
            self._flush()
        if self._drained is not None:
            await asyncio.shield(self._drained)

    # Frames, messages and the close.

    def _frame_came(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            received = self._protocol.close_rcvd
            self._over(received.code if received is not None else CloseCode.NO_STATUS_RCVD)
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._kind = _MEANS.get(frame.opcode, self._kind)
            self._parts.append(bytes(frame.data))
            if frame.fin:
                data, self._parts = b"".join(self._parts), []
                self._message_came(data)

    def _message_came(self, data: bytes) -> None:
        if len(self._events) >= MOST_UNREAD_MESSAGES:
            self._close(CloseCode.POLICY_VIOLATION, "more messages than are read")
            return
        try:
            content = data.decode() if self._kind == "text" else data
        except UnicodeDecodeError:
            self._close(CloseCode.INVALID_DATA, "the text is not UTF-8")
            return
        self._tell({"type": "websocket.receive", self._kind: content})

    def _close(self, code: int, reason: str) -> None:
        """Send the close after everything that was written; before the application accepts, answer with 403 instead."""
        if self._accepting is not None and not self._transport.is_closing():
            self._accepting = None
            self._transport.write(_refusal(self._home, 403, reason))
            self._transport.close()
        with suppress(InvalidState):
            self._protocol.send_close(code, reason)
        self._flush()
        self._over(code)

    def _flush(self) -> None:
        """Write what the protocol has to send."""
        for data in self._protocol.data_to_send():
            if self._accepting is not None or self._transport.is_closing():
                continue
            if data == SEND_EOF:
                self._transport.close()  # once everything written before is sent
            else:
                self._transport.write(data)
        if self._protocol.state is not State.OPEN:
            if self._closing_s is None:
                self._closing_s = self._loop.time()
            self._over(CloseCode.ABNORMAL_CLOSURE)

    def _over(self, code: int) -> None:
        if not self._told:
            self._told = True
            self._tell({"type": "websocket.disconnect", "code": code})

    def _tell(self, event: Message) -> None:
        self._events.append(event)
        if self._come is not None and not self._come.done():
            self._come.set_result(None)
