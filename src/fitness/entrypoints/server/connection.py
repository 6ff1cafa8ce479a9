"""One client's connection: its requests one after the other, and a deadline for each state a client can leave it in."""

import asyncio
from collections import deque

from fitness.entrypoints.server import deadlines
from fitness.entrypoints.server.exchange import ANSWERED, UNANSWERED, ASGIApp, Exchange, QuickWay, TakesSocket
from fitness.entrypoints.server.heads import Head
from fitness.entrypoints.server.home import Home
from fitness.entrypoints.server.parsing import Refused, RequestParser
from fitness.entrypoints.server.quick import Quick
from fitness.entrypoints.server.websocket import Socket, become_socket


class Connection(asyncio.Protocol):
    def __init__(
        self,
        home: Home,
        app: ASGIApp,
        client: tuple[str, int] | None,
        server: tuple[str, int] | None,
    ) -> None:
        self._home = home
        self._app = app
        self._quick_way: QuickWay | None = getattr(app, "quick", None)
        self._takes_socket: TakesSocket = getattr(app, "takes_socket", lambda _: False)
        self._client = client
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._cut_off = False
        self._parser = RequestParser(self)
        self._since_s = self._loop.time()
        """When the connection's present state began."""
        self._pace = deadlines.BodyPace(self._since_s)
        """The pace of the body of the request that is being answered."""
        self._idle = False
        """Whether the connection waits for a request after its first one."""
        self._answering: Exchange | Quick | None = None
        self._receiving: Exchange | None = None
        self._socket: Socket | None = None
        self._pipelined: deque[Exchange] = deque()
        self._left_s: float | None = None
        self._dropped_bytes: int | None = None
        """Bytes that were dropped after the last answer; None while more answers may follow."""
        self._drained: asyncio.Future[None] | None = None
        self._reading = True

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # uvloop's transport is no subclass, but behaves as one
        if self._cut_off:
            self.end()

    def data_received(self, data: bytes) -> None:
        if self._dropped_bytes is not None:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > deadlines.LINGER_BYTES:
                self.end()
            return
        if self._idle and not self._parser.within_head:
            self._idle, self._since_s = False, self._loop.time()
        try:
            self._parser.feed(data)
        except Refused as refused:
            self._refuse(refused.status, refused.detail)
        if self._socket is not None:
            self._socket.begin(self._app, self._parser.rest)

    def eof_received(self) -> bool:
        """Returns whether to keep the sending direction open, for the answer under way."""
        if self._answering is None or not self._answering.received_all or self._dropped_bytes is not None:
            return False
        self._left_s = self._loop.time()
        return True

    def connection_lost(self, _: Exception | None) -> None:
        self._home.left(self)
        for exchange in (self._answering, *self._pipelined):
            if exchange is not None and not exchange.answered:
                exchange.client_left()
        self._pipelined.clear()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._since_s = self._loop.time()
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # Called by the parser.

    def head_came(self, head: Head) -> None:
        self._pace.unread_since_s = None
        if head.asks_for_socket and self._answering is None and self._becomes_socket(head):
            return
        if self._answering is None and head.body_bytes == 0 and head.version == "1.1" and self._goes_quickly(head):
            return
        self._receiving = exchange = self._exchange(head)
        if self._answering is None:
            self._begin(exchange)
            return
        if len(self._pipelined) >= deadlines.MAX_PIPELINED:
            raise Refused(400, f"more than {deadlines.MAX_PIPELINED} requests came before their answers")
        self._pipelined.append(exchange)
        self._set_reading()

    def body_came(self, data: bytes) -> None:
        assert self._receiving is not None
        self._receiving.body_came(data)

    def body_ended(self) -> None:
        exchange, self._receiving = self._receiving, None
        if exchange is None:
            return
        exchange.body_ended()
        if exchange.answered:  # before the whole body had arrived
            self._next(exchange)

    # Called by an exchange.

    @property
    def date(self) -> bytes:
        return self._home.date

    @property
    def closing(self) -> bool:
        return self._home.draining or self._left_s is not None

    def write(self, data: bytes | memoryview) -> None:
        assert self._transport is not None
        self._transport.write(data)

    async def drained(self) -> None:
        if self._drained is not None:
            await self._drained

    def read_on(self, on: bool) -> None:
        self._pace.read_on(on, self._loop.time())
        self._set_reading()

    def ended(self, exchange: Exchange | Quick) -> None:
        if exchange is not self._answering or self._transport is None or self._transport.is_closing():
            return
        if not exchange.answered:  # the application failed, or gave up
            if isinstance(exchange, Quick):
                self._answering = exchange = self._exchange(exchange.head)
            self._answer_by_itself(exchange, 500, "the service failed to answer this; the failure has been logged")
        elif exchange.received_all or not exchange.keep_alive:
            self._next(exchange)
        else:
            self.read_on(True)  # read the rest of the unwanted body: the next request comes after it

    # Called by the listener.

    @property
    def waits_for_client(self) -> bool:
        """Whether the connection waits for its client, so that ending it wastes only the client's own time."""
        exchange = self._answering
        if exchange is None or self._dropped_bytes is not None or self._drained is not None:
            return True
        return not exchange.received_all and self._pace.unread_since_s is None

    def end_if_idle(self) -> None:
        if self._transport is not None and self._answering is None and not self._parser.within_head:
            self._transport.close()

    def end(self) -> None:
        """End at once, whatever is under way."""
        self._cut_off = True
        if self._transport is not None:
            self._transport.abort()

    def look(self, now_s: float) -> None:
        """End the connection if it has passed a deadline."""
        waited_s = now_s - self._since_s
        exchange = self._answering
        if self._dropped_bytes is not None:
            overdue = waited_s > deadlines.LINGER_S
        elif self._drained is not None:
            overdue = waited_s > deadlines.UNREAD_S
        elif exchange is None:
            overdue = waited_s > (deadlines.IDLE_S if self._idle else deadlines.HEAD_S)
            if overdue and self._parser.within_head:
                self._refuse(408, f"the request's head took longer than {deadlines.HEAD_S:.0f} s")
                return
        elif exchange.received_all or self._pace.unread_since_s is not None:
            overdue = self._left_s is not None and now_s - self._left_s > deadlines.GONE_S
        else:
            overdue = self._pace.is_late(now_s, exchange.received_bytes)
            if overdue and not exchange.started:
                self._refuse(408, "the request's body came too slowly")
                return
        if overdue:
            self.end()

    # How one request follows another.

    def _becomes_socket(self, head: Head) -> bool:
        """Become the WebSocket that the application has at this path: no more requests are read. False without one."""
        scope = head.scope(self._client, self._server)
        if head.version != "1.1" or not self._takes_socket(scope["path"]):
            return False
        assert self._transport is not None
        self._socket = become_socket(self, self._home, self._transport, head, scope)
        self._dropped_bytes = 0  # a client whose handshake is refused may still send
        return True

    def _exchange(self, head: Head) -> Exchange:
        scope = head.scope(self._client, self._server)
        return Exchange(
            self, scope, body_left=head.body_bytes, expects_continue=head.expects_continue, keep_alive=head.keep_alive
        )

    def _begin(self, exchange: Exchange) -> None:
        self._answering = exchange
        self._pace = deadlines.BodyPace(self._loop.time())
        exchange.task = self._loop.create_task(exchange.run(self._app))

    def _goes_quickly(self, head: Head) -> bool:
        """Begin the answer by the application's quick way. False if it has none for this request."""
        found = None if self._quick_way is None else self._quick_way(head.method, head.target, head.headers)
        if found is None:
            return False
        self._answering = quick = Quick(self, head)
        quick.begin(found)
        return True

    async def answer_at_length(self, quick: Quick, head: Head, found: object) -> None:
        exchange = self._exchange(head)
        exchange.scope[UNANSWERED] = found
        exchange.task, exchange.keep_alive, self._answering = quick.task, quick.keep_alive, exchange
        await exchange.run(self._app)

    def _next(self, exchange: Exchange | Quick) -> None:
        self._since_s = self._loop.time()
        if not exchange.keep_alive or self._home.draining or self._parser.ended:
            self._linger()
            return
        self._answering, self._idle = None, True
        if self._pipelined:
            self._begin(self._pipelined.popleft())
            self._set_reading()

    def _linger(self) -> None:
        """Answer nothing more. If the client is still sending, let it close first, so that it reads the last answer."""
        assert self._transport is not None
        still_sending, self._receiving = self._receiving is not None, None
        self._pipelined.clear()
        self._dropped_bytes = 0
        if still_sending:
            try:
                self._transport.write_eof()
            except OSError:  # the client has left
                self.end()
                return
            self.read_on(True)
        else:
            self._transport.close()  # once everything written before is sent

    def _set_reading(self) -> None:
        assert self._transport is not None
        reading = self._pace.unread_since_s is None and not self._pipelined
        if reading and not self._reading:
            self._transport.resume_reading()
        elif self._reading and not reading:
            self._transport.pause_reading()
        self._reading = reading

    def _refuse(self, status: int, detail: str) -> None:
        """Give the last answer of this connection, since nobody can tell where the next request begins."""
        exchange = self._answering
        if exchange is None:
            self._home.refused(status)
            head = Head("GET", b"/", "1.1", [], keep_alive=False)
            head.body_bytes = None
            self._answering = self._receiving = unreadable = self._exchange(head)
            unreadable.answer(status, *self._home.problem(status, detail))
        elif exchange.received_all:  # the answer under way is the last one
            exchange.keep_alive = False
            self._pipelined.clear()
            self._receiving = None
        else:
            assert isinstance(exchange, Exchange)
            if not exchange.called:
                self._home.refused(status)
            self._answer_by_itself(exchange, status, detail)
            exchange.client_left()

    def _answer_by_itself(self, exchange: Exchange, status: int, detail: str) -> None:
        if exchange.started:
            self.end()
        else:
            exchange.keep_alive = False
            exchange.scope[ANSWERED] = status
            exchange.answer(status, *self._home.problem(status, detail))
