"""A request's head, and the last request of a connection, whose head the next request mostly repeats."""

import re
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from fitness.entrypoints.server.exchange import RawHeaders

MAX_REMEMBERED_BYTES = 2 * 1024
"""The longest request without a body that is remembered; longer ones are parsed each time."""

_plain_target = re.compile(rb"/[A-Za-z0-9/_.~%?=&+,:;@!$'()*-]*").fullmatch
"""Matches a target without any byte that could end the target or begin another line."""


class Head:
    """`body_bytes` is the length of the body; None where it is not known beforehand."""

    __slots__ = (
        "asks_for_socket",
        "body_bytes",
        "expects_continue",
        "headers",
        "keep_alive",
        "method",
        "target",
        "version",
    )

    def __init__(self, method: str, target: bytes, version: str, headers: RawHeaders, *, keep_alive: bool) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive
        self.body_bytes: int | None = 0
        self.expects_continue = False
        self.asks_for_socket = False
        """Whether the client asks to upgrade the connection to a WebSocket."""

    def scope(self, client: tuple[str, int] | None, server: tuple[str, int] | None) -> dict[str, Any]:
        """The ASGI scope of the request."""
        raw_path, _, query = self.target.partition(b"?")
        path = unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self.version,
            "method": self.method,
            "scheme": "http",
            "path": path.decode("utf-8", "replace"),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self.headers,
            "client": client,
            "server": server,
            "state": {},
        }


class LastRequest(NamedTuple):
    """A request without a body that came alone and whole, over a connection that stays open."""

    method: bytes
    """The method and the space after it."""
    rest: bytes
    """The bytes after the target."""
    head: Head

    def repeated(self, data: bytes) -> Head | None:
        """The head of `data` if it is a request that differs from this one only in its target; otherwise None."""
        method, rest, head = self
        if not (data.endswith(rest) and data.startswith(method)):
            return None
        target = data[len(method) : -len(rest)]
        if len(data) > MAX_REMEMBERED_BYTES or _plain_target(target) is None:
            return None
        return Head(head.method, target, head.version, head.headers, keep_alive=True)


def remembered(data: bytes, head: Head) -> LastRequest | None:
    """The request to remember. None unless `data`, all bytes since the request before, is exactly this one request."""
    if head.body_bytes != 0 or not head.keep_alive or head.version != "1.1":
        return None
    if head.expects_continue or head.asks_for_socket or not data.endswith(b"\r\n\r\n"):
        return None
    begun = head.method.encode() + b" " + head.target
    if not data.startswith(begun + b" HTTP/1.1\r\n"):
        return None
    return LastRequest(head.method.encode() + b" ", data[len(begun) :], head)
