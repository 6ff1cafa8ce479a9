"""The outermost layer, before routing: what holds for every response, also to an unknown path."""

import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from fitness.domain.model.rate_limits import RateLimited
from fitness.entrypoints.http.charging import RESPONSE_HEADERS, UNMATCHED
from fitness.entrypoints.http.problems import MEDIA_TYPE, problem_of
from fitness.entrypoints.http.short_way import ShortWay
from fitness.entrypoints.logs import REQUEST_ID, AccessLog, Response
from fitness.ports.outages import LimiterUnavailable, Overloaded

CLIENT_GONE = 499
UNMATCHED_STATUSES = (404, 405)
UNCHARGEABLE = (RateLimited, LimiterUnavailable, Overloaded)

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        method: str = scope["method"]
        is_head = method == "HEAD"
        if is_head:
            scope["method"] = "GET"  # a route's GET handler answers its HEAD as well; `answer` drops the body
        status = CLIENT_GONE  # until a response starts: if none does, the client has left
        headers: Headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        # The gate appends the limits' headers to this list. So they reach every response, also one that an exception
        # handler made, which knows nothing of limits.
        response_headers = [(b"x-request-id", request_id)]
        scope[RESPONSE_HEADERS] = response_headers  # type: ignore[literal-required]
        REQUEST_ID.set(request_id.decode())

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                # Routing itself answers what no route matches, so that no gate has charged it.
                if message["status"] in UNMATCHED_STATUSES and scope.get("path_template") is None:
                    await self._charge_unmatched(scope)
                status = message["status"]
                message["headers"] = [*message["headers"], *response_headers]
            elif is_head and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        try:
            if self._tracing.on:
                await self._traced(scope, headers, receive, answer)
            else:
                await self._answered(scope, headers, receive, answer)
        except UNCHARGEABLE as error:
            await _send_problem(error, method, answer)
        finally:  # a request is counted and logged once, also if its client left and it was cancelled
            seconds = time.perf_counter() - started_s
            route = scope.get("path_template", UNMATCHED)  # never the path itself: a label must come from a closed set
            self._record(method, route, status, seconds)
            if status >= 400 or not scope["path"].startswith(UNLOGGED):
                caller = scope.get("user")
                user_id = caller.id if caller else None
                self._access_log.write(
                    Response(time.time(), method, route, status, seconds, user_id, request_id.decode())
                )

    async def _traced(self, scope: HTTPScope, headers: Headers, receive: Receive, send: Send) -> None:
        texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        with self._tracing.request("request", texts) as span:
            await self._answered(scope, headers, receive, send)
            span.update_name(f"{scope['method']} {scope.get('path_template', UNMATCHED)}")

    async def _answered(self, scope: HTTPScope, headers: Headers, receive: Receive, send: Send) -> None:
        sent: list[tuple[bytes, bytes]] = scope["headers"]  # type: ignore[assignment]
        if scope["method"] == "GET" and len(headers) == len(sent):  # a repeated header is unusual
            answer = await self._short_way.answer(scope, headers, scope[RESPONSE_HEADERS])  # type: ignore[literal-required]
            if answer is not None:
                await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
                await send({"type": "http.response.body", "body": answer.body, "more_body": False})
                return
        await self._app(scope, receive, send)


async def _send_problem(error: Exception, method: str, send: Send) -> None:
    """In place of the answer that routing had for a request that no route matches."""
    kind, body, headers = problem_of(error, method)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": kind.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _request_id(given: bytes | None) -> bytes:
    """The client's X-Request-Id if it is visible ASCII of at most 128 characters, otherwise a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%032x" % random.getrandbits(128)
