"""The outermost layer, before routing: what holds for every response, also to an unknown path."""

import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from fitness.entrypoints.http.charging import RESPONSE_HEADERS, UNMATCHED
from fitness.entrypoints.http.problems import MEDIA_TYPE, logged_problem_of
from fitness.entrypoints.http.short_way import Answer, RawHeaders, ShortWay
from fitness.entrypoints.logs import REQUEST_ID, AccessLog, Response

CLIENT_GONE = 499
UNMATCHED_STATUSES = (404, 405)
UNLOGGED = ("/health", "/metrics")
"""Machines ask for these every few seconds; they are logged only when they fail."""

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

Headers = Mapping[bytes, bytes]

Record = Callable[[str, str, int, float], None]
"""Method, route, status and seconds of a response."""

Charge = Callable[[Scope], Awaitable[None]]


class RequestTracing(Protocol):
    @property
    def on(self) -> bool: ...

    def request(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Any]: ...


class Edge:
    """Gives each request an id, adds RESPONSE_HEADERS to its response, answers HEAD as a GET without the body, and
    reports every response to `record`, the log and the tracing.
    """

    def __init__(
        self,
        app: ASGIApp,
        short_way: ShortWay,
        record: Record,
        access_log: AccessLog,
        tracing: RequestTracing,
        charge_unmatched: Charge,
    ) -> None:
        self._app = app
        self._short_way = short_way
        self._record = record
        self._access_log = access_log
        self._charge_unmatched = charge_unmatched
        self._tracing = tracing

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        method: str = scope["method"]
        is_head = method == "HEAD"
        if is_head:
            scope["method"] = "GET"  # a route's GET handler answers its HEAD as well; `answer` drops the body
        headers: Headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        # The gate appends the limits' headers to this list. So they reach every response, also one that an exception
        # handler made, which knows nothing of limits.
        response_headers = [(b"x-request-id", request_id)]
        scope[RESPONSE_HEADERS] = response_headers  # type: ignore[literal-required]
        name = request_id.decode()
        REQUEST_ID.set(name)
        sending = _Sending(send, scope, response_headers, self._charge_unmatched, without_body=is_head)
        try:
            if self._tracing.on:
                await self._traced(scope, headers, receive, sending)
            else:
                await self._answer(scope, headers, receive, sending)
        except Exception as error:
            # Litestar answers what its handlers raise. This was raised by the short way, or by the charge of a request
            # that no route matches.
            if sending.status != CLIENT_GONE:
                raise
            await _send_problem(error, scope, sending)
        finally:  # a request is counted and logged once, also if its client left and it was cancelled
            seconds = time.perf_counter() - started_s
            status = sending.status
            route = scope.get("path_template", UNMATCHED)  # never the path itself: a label must come from a closed set
            self._record(method, route, status, seconds)
            if status >= 400 or not scope["path"].startswith(UNLOGGED):
                caller = scope.get("user")
                user_id = caller.id if caller else None
                self._access_log.write(Response(time.time(), method, route, status, seconds, user_id, name))

    async def _traced(self, scope: HTTPScope, headers: Headers, receive: Receive, sending: "_Sending") -> None:
        texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        with self._tracing.request("request", texts) as span:
            await self._answer(scope, headers, receive, sending)
            span.update_name(f"{scope['method']} {scope.get('path_template', UNMATCHED)}")

    async def _answer(self, scope: HTTPScope, headers: Headers, receive: Receive, sending: "_Sending") -> None:
        sent: list[tuple[bytes, bytes]] = scope["headers"]  # type: ignore[assignment]
        if scope["method"] == "GET" and len(headers) == len(sent):  # a repeated header is unusual
            answer = await self._short_way.answer(scope, headers, sending.headers)
            if answer is not None:
                await sending.all_of(answer)
                return
        await self._app(scope, receive, sending)


class _Sending:
    """A response on its way: adds `headers` to it, drops its body where there is to be none, and knows its status."""

    __slots__ = ("_charge_unmatched", "_scope", "_send", "_without_body", "headers", "status")

    def __init__(
        self, send: Send, scope: HTTPScope, headers: RawHeaders, charge_unmatched: Charge, *, without_body: bool
    ) -> None:
        self._send = send
        self._scope = scope
        self._charge_unmatched = charge_unmatched
        self._without_body = without_body
        self.headers = headers
        self.status = CLIENT_GONE
        """Until a response starts: if none does, the client has left."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # Routing itself answers what no route matches, so that no gate has charged it.
            if message["status"] in UNMATCHED_STATUSES and self._scope.get("path_template") is None:
                await self._charge_unmatched(self._scope)
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self.headers]
        elif self._without_body and message["type"] == "http.response.body":
            message["body"] = b""
        await self._send(message)

    async def all_of(self, answer: Answer) -> None:
        self.status = answer.status
        answer.headers.extend(self.headers)
        body = b"" if self._without_body else answer.body
        await self._send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


async def _send_problem(error: Exception, scope: HTTPScope, send: Send) -> None:
    """As a handler's exception is answered."""
    kind, body, headers = logged_problem_of(error, scope["method"], scope["path"])
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": kind.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _request_id(given: bytes | None) -> bytes:
    """The client's X-Request-Id if it is visible ASCII of at most 128 characters, otherwise a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%032x" % random.getrandbits(128)
