"""The bytes of a connection as requests of HTTP/1.1: httptools parses them, and this module bounds and checks them."""

import re
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

import httptools

from fitness.entrypoints.server.exchange import RawHeaders

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_TARGET_BYTES = 8 * 1024

FRAMING_BYTES = 16 * 1024
FRAMING_FACTOR = 8
"""A chunked body may have so much around its chunks: a constant, and a multiple of what is in them."""

_NOTED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"})

MAX_REMEMBERED_BYTES = 2 * 1024
"""Of a request without a body: longer ones are parsed each time."""

_BLANK_LINE = b"\r\n\r\n"
"""Ends a head, and a chunked body, in which it may also stand."""

MOST_SPLITS = 16
"""Blank lines in a read of a chunked body before the rest is taken as a whole: one ends the body, but one may also be
made of nothing else, which would cost as many calls of the parser.
"""

_plain_target = re.compile(rb"/[A-Za-z0-9/_.~%?=&+,:;@!$'()*-]*").fullmatch
"""Whether nothing in a target could end it, or begin another line."""

HEAD_TOO_LARGE = f"the request's head has more than {MAX_HEAD_BYTES} bytes"


class Refused(Exception):
    """What came cannot be read as a request of HTTP/1.1: the answer's status, and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


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
        """Whether the client wants to go on with a WebSocket."""

    def scope(self, client: tuple[str, int] | None, server: tuple[str, int] | None) -> dict[str, Any]:
        """As ASGI has it."""
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


class _Last(NamedTuple):
    """A request without a body that came alone and whole, over a connection that stays open."""

    method: bytes
    """With the space behind it."""
    rest: bytes
    """What came behind the target."""
    head: Head

    def repeated(self, data: bytes) -> Head | None:
        """The head of a request that differs from this one in nothing but its target. None for any other."""
        method, rest, head = self
        if not (data.endswith(rest) and data.startswith(method)):
            return None
        target = data[len(method) : -len(rest)]
        if len(data) > MAX_REMEMBERED_BYTES or _plain_target(target) is None:
            return None
        return Head(head.method, target, head.version, head.headers, keep_alive=True)


class Reader(Protocol):
    """Who is told what was parsed."""

    def head_came(self, head: Head) -> None: ...

    def body_came(self, data: bytes) -> None: ...

    def body_ended(self) -> None: ...


class RequestParser:
    """`feed` raises Refused; after that, and after `ended`, it is not to be called again.

    A client sends the same headers again and again: what the last request was, is remembered, and one that differs only
    in its target is not parsed.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._parser = httptools.HttpRequestParser(self)
        self._last: _Last | None = None
        """None if anything has come since that request."""
        self._heads: list[Head] = []
        """Those that ended in what is being fed."""
        self._in_body = False
        self._body_left: int | None = 0
        """Of the body that is coming; None where it ends with its last chunk."""
        self._tail = b""
        """The last bytes of what a blank line will end."""
        self._head_bytes = self._fed_bytes = self._framing_bytes = self._content_bytes = 0
        self.rest = b""
        """What came behind the last request."""
        self.ended = False
        """Whether nothing after the last request is HTTP: the client asked to speak something else."""
        self._begin()

    @property
    def within_head(self) -> bool:
        """Whether a head has begun and not ended."""
        return self._head_bytes > 0

    def feed(self, data: bytes) -> None:
        repeated = None if self._last is None else self._last.repeated(data)
        if repeated is not None:
            self._reader.head_came(repeated)
            self._reader.body_ended()
            return
        began = not self.within_head and not self._in_body
        self._last, self._heads = None, []
        self._parse(data)
        if began and len(self._heads) == 1 and len(data) <= MAX_REMEMBERED_BYTES:
            self._last = _remembered(data, self._heads[0])

    def _parse(self, data: bytes) -> None:
        """In pieces of which each is of one request, so that none is charged with the bytes of another."""
        begin = splits = 0
        while begin < len(data):
            splits += self._in_body and self._body_left is None
            end = len(data) if splits > MOST_SPLITS else self._piece_end(data, begin)
            self._parse_piece(data[begin:end])
            begin = end

    def _piece_end(self, data: bytes, begin: int) -> int:
        if self._in_body and self._body_left:
            return min(begin + self._body_left, len(data))
        tail = self._tail
        across = (tail + data[begin : begin + 3]).find(_BLANK_LINE) if tail else -1
        if across >= 0:
            return begin + across + len(_BLANK_LINE) - len(tail)
        ends = data.find(_BLANK_LINE, begin)
        return len(data) if ends < 0 else ends + len(_BLANK_LINE)

    def _parse_piece(self, piece: bytes) -> None:
        if self.ended:
            self.rest += piece
            return
        self._fed_bytes = len(piece)
        self._tail = (self._tail + piece[-3:])[-3:]
        if self._in_body:
            self._framing_bytes += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self.ended = True
            self.rest = piece[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, Refused):
                raise error.__context__ from None
            raise
        except httptools.HttpParserError:
            raise Refused(400, "this is not a request of HTTP/1.1") from None
        if self._in_body:
            self._check_framing()
        elif self._target or self._headers:
            self._head_bytes += self._fed_bytes
            if self._head_bytes > MAX_HEAD_BYTES:
                raise Refused(431, HEAD_TOO_LARGE)

    # What httptools calls.

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer: nothing here reads one
            return
        name = name.lower()
        if name in _NOTED:
            if name == b"host" and name in self._noted:
                raise Refused(400, "a request has one Host header")
            self._noted[name] = value
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser, noted, headers = self._parser, self._noted, self._headers
        version: str = parser.get_http_version()
        self._check(version)
        keep_alive = parser.should_keep_alive() and not parser.should_upgrade()
        target = self._target if self._target.startswith(b"/") else _origin_form(self._target)
        head = Head(parser.get_method().decode("ascii"), target, version, headers, keep_alive=keep_alive)
        self._head_bytes = self._framing_bytes = self._content_bytes = 0
        if len(noted) > 1:
            head.body_bytes = self._body_bytes()
            head.expects_continue = noted.get(b"expect", b"").lower() == b"100-continue" and head.body_bytes != 0
            head.asks_for_socket = noted.get(b"upgrade", b"").lower() == b"websocket" and head.body_bytes == 0
        self._body_left = head.body_bytes
        self._begin()
        self._in_body = True
        self._heads.append(head)
        self._reader.head_came(head)

    def on_body(self, data: bytes) -> None:
        self._framing_bytes -= len(data)
        self._content_bytes += len(data)
        if self._body_left is not None:
            self._body_left -= len(data)
        self._reader.body_came(data)

    def on_message_complete(self) -> None:
        self._check_framing()
        self._in_body = False
        self._reader.body_ended()

    def _begin(self) -> None:
        self._target = b""
        self._headers: RawHeaders = []
        self._noted: dict[bytes, bytes] = {}

    def _check(self, version: str) -> None:
        if version == "1.1":
            if b"host" not in self._noted:
                raise Refused(400, "a request of HTTP/1.1 has a Host header")
        elif version != "1.0":
            raise Refused(400, "this server speaks HTTP/1.1")
        if len(self._target) > MAX_TARGET_BYTES:
            raise Refused(414, f"the request's target has more than {MAX_TARGET_BYTES} bytes")
        if len(self._headers) > MAX_HEADERS:
            raise Refused(431, f"the request has more than {MAX_HEADERS} headers")
        if self._head_bytes + self._fed_bytes > MAX_HEAD_BYTES:
            raise Refused(431, HEAD_TOO_LARGE)

    def _body_bytes(self) -> int | None:
        """As the head says; None where the body ends with its last chunk."""
        coding = self._noted.get(b"transfer-encoding")
        if coding is None:
            return int(self._noted.get(b"content-length", b"0"))
        if coding.lower() != b"chunked":
            raise Refused(400, "a body can be chunked; no other Transfer-Encoding is known here")
        return None

    def _check_framing(self) -> None:
        if self._framing_bytes > FRAMING_BYTES + FRAMING_FACTOR * self._content_bytes:
            raise Refused(400, "the body has more around its chunks than in them")

    def _headers_bytes(self) -> int:
        return sum(len(name) + len(value) for name, value in self._headers)


def _remembered(data: bytes, head: Head) -> _Last | None:
    """Of all that came since the request before: None if it is not this one alone, and whole."""
    if head.body_bytes != 0 or not head.keep_alive or head.version != "1.1":
        return None
    if head.expects_continue or head.asks_for_socket or not data.endswith(b"\r\n\r\n"):
        return None
    begun = head.method.encode() + b" " + head.target
    if not data.startswith(begun + b" HTTP/1.1\r\n"):
        return None
    return _Last(head.method.encode() + b" ", data[len(begun) :], head)


def _origin_form(target: bytes) -> bytes:
    """Of a target that names a whole address. Raises Refused for what is none."""
    if target == b"*":
        return target
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        url = None
    if url is None or url.schema is None:
        raise Refused(400, "the request's target is not an address")
    return (url.path or b"/") + (b"?" + url.query if url.query is not None else b"")
