"""The bytes of a connection as requests of HTTP/1.1: httptools parses them, and this module bounds and checks them."""

from typing import Protocol

import httptools

from fitness.entrypoints.server.exchange import RawHeaders
from fitness.entrypoints.server.heads import MAX_REMEMBERED_BYTES, Head, LastRequest, remembered

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_TARGET_BYTES = 8 * 1024

FRAMING_BYTES = 16 * 1024
FRAMING_FACTOR = 8
"""The most bytes around the chunks of a body: FRAMING_BYTES, and FRAMING_FACTOR times the bytes within the chunks."""

_NOTED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"})

_BLANK_LINE = b"\r\n\r\n"
"""Ends a head, and a chunked body; it may also occur within a chunked body."""

MOST_SPLITS = 16
"""Pieces into which one read of a chunked body is split, each up to a blank line; the rest is parsed as a whole. A
blank line ends the body, but a body may also consist of blank lines only, which would cost as many calls of the parser.
"""

HEAD_TOO_LARGE = f"the request's head has more than {MAX_HEAD_BYTES} bytes"


class Refused(Exception):
    """The bytes are no valid request of HTTP/1.1, or exceed a bound. `status` and `detail` are the answer's."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Reader(Protocol):
    """Receives the parsed parts of each request."""

    def head_came(self, head: Head) -> None: ...

    def body_came(self, data: bytes) -> None: ...

    def body_ended(self) -> None: ...


class RequestParser:
    """`feed` raises Refused. It must not be called again after that, or once `ended` is true.

    A client sends the same headers again and again, so the last request is remembered, and a request that differs from
    it only in its target is not parsed.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._parser = httptools.HttpRequestParser(self)
        self._last: LastRequest | None = None
        """The remembered request; None if anything else has arrived since."""
        self._heads: list[Head] = []
        """The heads that ended in the bytes that are being fed."""
        self._in_body = False
        self._body_left: int | None = 0
        """Bytes of the body that are still to come; None for a chunked body, which ends with its last chunk."""
        self._tail = b""
        """The last three bytes that were parsed, in which a blank line may have begun."""
        self._head_bytes = self._fed_bytes = self._framing_bytes = self._content_bytes = 0
        self.rest = b""
        """The bytes after the last request."""
        self.ended = False
        """Whether the client asked for another protocol, so that the bytes after the last request are not HTTP."""
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
            self._last = remembered(data, self._heads[0])

    def _parse(self, data: bytes) -> None:
        """Parse in pieces that belong to one request each, so that no request is charged with the bytes of another."""
        begin = splits = 0
        while begin < len(data):
            splits += self._in_body and self._body_left is None
            end = len(data) if splits > MOST_SPLITS else self._piece_end(data, begin)
            self._parse_piece(data[begin:end])
            begin = end

    def _piece_end(self, data: bytes, begin: int) -> int:
        """The end of the piece that starts at `begin`; always greater than `begin`."""
        if self._in_body and self._body_left is not None and self._body_left > 0:
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

    # Called by httptools.

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
        if len(noted) > (b"host" in noted):
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
        """The length that the head states; None for a chunked body, which ends with its last chunk. Raises Refused."""
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


def _origin_form(target: bytes) -> bytes:
    """Path and query of a target that is an absolute URL; `*` stays as it is. Raises Refused for any other target."""
    if target == b"*":
        return target
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        url = None
    if url is None or url.schema is None:
        raise Refused(400, "the request's target is not an address")
    return (url.path or b"/") + (b"?" + url.query if url.query is not None else b"")
