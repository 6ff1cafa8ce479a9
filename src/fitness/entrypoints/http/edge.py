"""The outermost layer, before routing: what holds for every response there is."""

import time
from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

RESPONSE_HEADERS = "fitness.response_headers"
"""Where in the scope anything may leave headers for the response, whatever becomes of the request."""


CLIENT_GONE = 499
UNMATCHED = "unmatched"

Record = Callable[[str, str, int, float], None]
"""Method, route, status and seconds of a response."""


class Edge:
    """Adds the headers that were left for the response, answers HEAD as it would GET, without the body, and tells
    `record` of every response there is.
    """

    def __init__(self, app: ASGIApp, record: Record) -> None:
        self._app = app
        self._record = record

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
        left: list[tuple[bytes, bytes]] = []
        scope[RESPONSE_HEADERS] = left  # type: ignore[literal-required]

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *left]
            elif bodiless and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._record(method, scope.get("path_template", UNMATCHED), status, time.perf_counter() - started_s)
