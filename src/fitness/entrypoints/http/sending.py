"""A response of the long way as it goes out."""

import time
from collections.abc import Awaitable, Callable

from litestar.types import HTTPScope, Message, Scope, Send

from fitness.entrypoints.http.arrived import Arrived
from fitness.entrypoints.http.delivery import delivered
from fitness.entrypoints.server.exchange import Answer, RawHeaders

CLIENT_GONE = 499
UNMATCHED_STATUSES = (404, 405)

Charge = Callable[[Scope], Awaitable[None]]

Finish = Callable[[RawHeaders, Arrived, str | None], RawHeaders]
"""The headers of a response as they go out, given the route's template."""


class Sending:
    """The `send` of the long way. It completes the headers once the body, or the first piece of a stream, is there."""

    __slots__ = ("_arrived", "_charge_unmatched", "_finish", "_head", "_scope", "_send", "status", "streams_since_s")

    def __init__(
        self, send: Send, scope: HTTPScope, arrived: Arrived, charge_unmatched: Charge, finish: Finish
    ) -> None:
        self._send = send
        self._scope = scope
        self._arrived = arrived
        self._charge_unmatched = charge_unmatched
        self._finish = finish
        self._head: Message | None = None
        self.streams_since_s: float | None = None
        """When a streamed body began; None for a body that is sent as a whole."""
        self.status = CLIENT_GONE
        """The status of the response. Until one starts, CLIENT_GONE: if none starts, the client has left."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # Routing itself answers a request that no route matches, so the gate has not charged it.
            if message["status"] in UNMATCHED_STATUSES and self._scope.get("path_template") is None:
                await self._charge_unmatched(self._scope)
            self.status = message["status"]
            self._head = message
        elif message["type"] == "http.response.body":
            await self._pass_on(message["body"], more=message.get("more_body", False))

    async def _pass_on(self, body: bytes, *, more: bool) -> None:
        head, self._head = self._head, None
        if head is not None:
            assert head["type"] == "http.response.start"
            answer = Answer(head["status"], [*head["headers"]], body)
            if not more:
                answer = await delivered(answer, self._arrived)
                self.status = answer.status
            else:
                self.streams_since_s = time.perf_counter()
            headers = self._finish(answer.headers, self._arrived, self._scope.get("path_template"))
            await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
            body = answer.body
        if self._arrived.method == "HEAD":
            body = b""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
