"""Answers that are sent while they are made."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

UNBUFFERED = {"X-Accel-Buffering": "no"}
"""Makes a proxy pass on each piece at once, so that the service notices when the client leaves."""


class Streamed(Response[bytes]):
    """A response that ends when its content ends or its client leaves, and then closes the content. Litestar's own
    stream goes on listening to a client that has its answer, and does not close the content.
    """

    def __init__(self, content: AsyncGenerator[bytes, None], *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(b"", media_type=media_type, headers={**headers})
        self._content = content

    def to_asgi_response(self, *_: Any, **__: Any) -> "_Sent":
        return _Sent(self._content, media_type=self.media_type, status_code=200, headers=self.headers)


class _Sent(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, content: AsyncGenerator[bytes, None], **given: Any) -> None:
        super().__init__(**given)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._content):  # around the head, too: content that has begun may hold resources
            await super().__call__(scope, receive, send)

    async def send_body(self, send: Send, receive: Receive) -> None:
        async for piece in self._content:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def nothing() -> AsyncGenerator[bytes, None]:
    """Empty content, for HEAD."""
    for piece in tuple[bytes, ...]():
        yield piece
