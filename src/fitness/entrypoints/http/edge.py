"""The outermost layer, before routing: what holds for every response, also to an unknown path."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from litestar.types import ASGIApp, HTTPScope, Receive, Send

from fitness.domain.use_cases.seen import ReadAsked
from fitness.entrypoints.http.arrived import ARRIVED, UNMATCHED, Arrived
from fitness.entrypoints.http.cors import Cors
from fitness.entrypoints.http.delivery import compressed, compressed_apart, delivered
from fitness.entrypoints.http.problems import MEDIA_TYPE, NOSNIFF, logged_problem_of
from fitness.entrypoints.http.sending import CLIENT_GONE, Charge, Sending
from fitness.entrypoints.http.short_changes import ShortChanges
from fitness.entrypoints.http.short_way import Read, ShortWay
from fitness.entrypoints.logs import REQUEST_ID, AccessLog, Response
from fitness.entrypoints.server.exchange import ANSWERED, Answer, RawHeaders

UNLOGGED = "/health"
"""Machines request paths that begin with this every few seconds; these are logged only when they fail."""

ASK_AGAIN = (b"cache-control", b"private, no-cache")
"""The client may keep an answer, but must revalidate it with the service before each use."""
VARY = b"authorization, accept-encoding"

Record = Callable[[str, str, int, float], None]
"""Method, route, status and seconds of a response."""


class RequestTracing(Protocol):
    @property
    def on(self) -> bool: ...

    def request(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Any]: ...


class _Asked:
    """A QuickAnswer for which the stores have been asked."""

    __slots__ = ("_edge", "_read", "_replies")

    def __init__(self, edge: "Edge", read: Read, replies: ReadAsked) -> None:
        self._edge = edge
        self._read = read
        self._replies = replies

    def when_ready(self, callback: Callable[[object], None]) -> None:
        self._replies.when_done(callback)

    def answer(self) -> Answer | Coroutine[Any, Any, Answer | Arrived]:
        return self._edge.hit(self._read, self._replies)

    def abandon(self) -> None:
        self._replies.abandon()
        self._edge.left(self._read.arrived)


async def _awaited(quick: _Asked | Coroutine[Any, Any, Answer | Arrived]) -> Answer | Arrived:
    if isinstance(quick, Coroutine):
        return await quick
    ready = asyncio.Event()
    quick.when_ready(lambda _: ready.set())
    await ready.wait()
    found = quick.answer()
    return found if isinstance(found, Answer) else await found


class Edge:
    """Gives each request an id, adds the headers that every response has, answers HEAD as a GET without the body, and
    reports every response to `record`, the log and the tracing.

    `allowed` has the Allow header of each route.
    """

    def __init__(
        self,
        app: ASGIApp,
        short_way: ShortWay,
        short_changes: ShortChanges,
        record: Record,
        access_log: AccessLog,
        tracing: RequestTracing,
        charge_unmatched: Charge,
        cors: Cors,
        allowed: Mapping[str, bytes],
    ) -> None:
        self._app = app
        self._cors = cors
        self._allowed = allowed
        self._standard = [NOSNIFF, ASK_AGAIN, (b"vary", VARY + b", origin" if cors.on else VARY)]
        self._short_way = short_way
        self._short_changes = short_changes
        self._record = record
        self._access_log = access_log
        self._charge_unmatched = charge_unmatched
        self._tracing = tracing

    def quick(
        self, method: str, target: bytes, sent: RawHeaders
    ) -> _Asked | Coroutine[Any, Any, Answer | Arrived] | None:
        """The short way to answer a request without a body: see QuickWay. None for a request that it does not know.

        A coroutine that returns an Arrived sends the request the long way, with the Arrived in its scope under ARRIVED.
        With tracing on, every request goes the long way, where it has exactly one span.
        """
        asked = self._short_way.asked(target) if method in ("GET", "HEAD") else None
        if asked is None or self._tracing.on:
            return None
        arrived = Arrived(method, asked.path, sent)
        # A request that repeats a header goes the long way.
        read = self._short_way.read(asked, arrived) if len(arrived.headers) == len(sent) else None
        replies = None if read is None else self._short_way.ask(read)
        if read is None or replies is None:
            return self._quick(arrived, read, None)
        return _Asked(self, read, replies)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        arrived: Arrived | None = scope.get(ARRIVED)  # type: ignore[assignment]
        if arrived is None:
            sent: RawHeaders = scope["headers"]  # type: ignore[assignment]
            quick = self.quick(scope["method"], _target(scope), sent)
            found = Arrived(scope["method"], scope["path"], sent) if quick is None else await _awaited(quick)
            if isinstance(found, Answer):
                await _sent(found, send)
                return
            arrived = found
            scope[ARRIVED] = arrived  # type: ignore[literal-required]
        REQUEST_ID.set(arrived.name)
        if arrived.method in ("POST", "PATCH") and not self._tracing.on:
            changed = await self._change(arrived, scope, receive)
            if isinstance(changed, Answer):
                await _sent(changed, send)
                return
            receive = changed
        await self._long(arrived, scope, receive, send)

    def hit(self, read: Read, replies: ReadAsked) -> Answer | Coroutine[Any, Any, Answer | Arrived]:
        """The answer, if the replies are an admitted hit; otherwise a coroutine that does the rest."""
        try:
            answer = self._short_way.hit(read, replies)
        except Exception:  # noqa: BLE001 - `_quick` meets the error again, and answers it
            answer = None
        return self._quick(read.arrived, read, replies) if answer is None else self._finished(read.arrived, answer)

    def left(self, arrived: Arrived) -> None:
        """Report a request whose client left before there was an answer."""
        self._report(arrived, CLIENT_GONE)

    async def _quick(self, arrived: Arrived, read: Read | None, replies: ReadAsked | None) -> Answer | Arrived:
        if read is None:
            return arrived
        REQUEST_ID.set(arrived.name)
        try:
            answer = await self._short_way.answer(read, replies)
        except asyncio.CancelledError:
            self._report(arrived, CLIENT_GONE)
            raise
        except Exception as error:  # noqa: BLE001 - as Litestar answers what its handlers raise
            answer = _problem(error, arrived)
        return arrived if answer is None else self._finished(arrived, await compressed_apart(answer, arrived.headers))

    async def _change(self, arrived: Arrived, scope: HTTPScope, receive: Receive) -> Answer | Receive:
        """The answer, or the `receive` by which the long way reads the request."""
        try:
            found = await self._short_changes.answer(arrived, scope, receive)
        except asyncio.CancelledError:
            self._report(arrived, _seen_status(scope, CLIENT_GONE))
            raise
        except Exception as error:  # noqa: BLE001 - as Litestar answers what its handlers raise
            found = _problem(error, arrived)
        if not isinstance(found, Answer):
            return found
        answer = await delivered(found, arrived)
        self._report(arrived, answer.status)
        return answer._replace(headers=self._headers(answer.headers, arrived, arrived.route))

    def _finished(self, arrived: Arrived, answer: Answer) -> Answer:
        self._report(arrived, answer.status)
        answer = compressed(answer, arrived.headers)
        answer.headers.extend(self._of_every_answer(arrived))
        return answer if arrived.method == "GET" else answer._replace(body=b"")

    async def _long(self, arrived: Arrived, scope: HTTPScope, receive: Receive, send: Send) -> None:
        is_head = arrived.method == "HEAD"
        if is_head:
            scope["method"] = "GET"  # a route's GET handler answers its HEAD as well; the body is dropped
        sending = Sending(send, scope, arrived, self._charge_unmatched, self._headers)
        try:
            if self._tracing.on:
                with self._tracing.request("request", arrived.texts()) as span:
                    await self._app(scope, receive, sending)
                    span.update_name(f"{scope['method']} {scope.get('path_template', UNMATCHED)}")
            else:
                await self._app(scope, receive, sending)
        except Exception as error:
            # Litestar answers what its handlers raise. The charge of a request that no route matches raised this.
            if sending.status != CLIENT_GONE:
                sending.status = 500  # a response that is cut off is not what its head said
                raise
            await _sent(_problem(error, arrived), sending)
        finally:  # a request is counted and logged once, also if its client left and it was cancelled
            arrived.route = scope.get("path_template", UNMATCHED)
            self._report(arrived, _seen_status(scope, sending.status), sending.streams_since_s)

    def _headers(self, headers: RawHeaders, arrived: Arrived, template: str | None) -> RawHeaders:
        """The headers of a response the long way: its own, and those of every answer that it does not have itself."""
        allow = self._allowed.get(template or "")
        if arrived.method == "OPTIONS" and allow is not None:
            headers = [one for one in headers if one[0] != b"allow"]
            headers += [(b"allow", allow), *self._cors.preflight(arrived.headers, allow)]
        named = {name for name, _ in headers}
        return headers + [one for one in self._of_every_answer(arrived) if one[0] not in named]

    def _of_every_answer(self, arrived: Arrived) -> RawHeaders:
        headers = arrived.answer_headers + self._standard
        return headers + self._cors.headers(arrived.headers) if self._cors.on else headers

    def _report(self, arrived: Arrived, status: int, streams_since_s: float | None = None) -> None:
        """The duration of a streamed response is the time until it began."""
        seconds = (streams_since_s or time.perf_counter()) - arrived.started_s
        self._record(arrived.method, arrived.route, status, seconds)
        if status >= 400 or not arrived.path.startswith(UNLOGGED):
            user_id = arrived.caller.id if arrived.caller else None
            response = Response(time.time(), arrived.method, arrived.route, status, seconds, user_id, arrived.name)
            self._access_log.write(response)


def _seen_status(scope: HTTPScope, status: int) -> int:
    """The status that the client got: of the server's own answer, or else the `status` of the application's answer."""
    answered: int = scope.get(ANSWERED, status)  # type: ignore[assignment]
    return answered


async def _sent(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def _problem(error: Exception, arrived: Arrived) -> Answer:
    """The answer to `error`, the same as when a handler raises it."""
    kind, body, headers = logged_problem_of(error, "GET" if arrived.method == "HEAD" else arrived.method, arrived.path)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    return Answer(kind.status, raw, body)


def _target(scope: HTTPScope) -> bytes:
    query = scope["query_string"]
    path = scope.get("raw_path") or scope["path"].encode()
    return path.partition(b"?")[0] + (b"?" + query if query else b"")
