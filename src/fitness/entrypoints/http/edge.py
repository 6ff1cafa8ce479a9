"""The outermost layer, before routing: what holds for every response there is."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

RESPONSE_HEADERS = "fitness.response_headers"
"""Where in the scope anything may leave headers for the response, whatever becomes of the request."""


class Edge:
    """Adds the headers that were left for the response, and answers HEAD as it would GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        bodiless = scope["method"] == "HEAD"
        if bodiless:
            scope["method"] = "GET"
        left: list[tuple[bytes, bytes]] = []
        scope[RESPONSE_HEADERS] = left  # type: ignore[literal-required]

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *left]
            elif bodiless and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        await self._app(scope, receive, answer)
