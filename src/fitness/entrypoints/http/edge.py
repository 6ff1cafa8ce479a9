"""The outermost layer, before routing: what holds for every response there is."""

import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from fitness.entrypoints.logs import ACCESS

RESPONSE_HEADERS = "fitness.response_headers"
"""Where in the scope anything may leave headers for the response, whatever becomes of the request."""

CLIENT_GONE = 499
UNMATCHED = "unmatched"

UNLOGGED = ("/health", "/metrics")
"""Asked for by machines every few seconds; not worth a line while they succeed."""

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

Record = Callable[[str, str, int, float], None]
"""Method, route, status and seconds of a response."""


class RequestTracing(Protocol):
    @property
    def on(self) -> bool: ...

    def request(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Any]: ...


class Edge:
    """Names each request, adds the headers that were left for its response, answers HEAD as it would GET, without the
    body, and tells `record`, the log and the tracing of every response there is.
    """

    def __init__(self, app: ASGIApp, record: Record, tracing: RequestTracing) -> None:
        self._app = app
        self._record = record
        self._tracing = tracing
        self._log = logging.getLogger(ACCESS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        method: str = scope["method"]
        bodiless = method == "HEAD"
        if bodiless:
            scope["method"] = "GET"
        status = CLIENT_GONE
        request_id = _request_id(scope)
        left = [(b"x-request-id", request_id)]
        scope[RESPONSE_HEADERS] = left  # type: ignore[literal-required]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id.decode())

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *left]
            elif bodiless and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        try:
            if self._tracing.on:
                await self._traced(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - started_s
            route = scope.get("path_template", UNMATCHED)
            self._record(method, route, status, seconds)
            if status >= 400 or not scope["path"].startswith(UNLOGGED):
                self._tell(scope, method, route, status, seconds)

    async def _traced(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracing.request("request", headers) as span:
            await self._app(scope, receive, send)
            span.update_name(f"{scope['method']} {scope.get('path_template', UNMATCHED)}")

    def _tell(self, scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
        caller = scope.get("user")
        told = {
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
            "user_id": caller.id if caller else None,
        }
        self._log.info("request", extra=told)


def _request_id(scope: Scope) -> bytes:
    """The client's own, where it is one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex.encode()
