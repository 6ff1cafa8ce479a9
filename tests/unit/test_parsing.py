"""Bytes as requests: what a parser remembers of the last request makes no difference."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from fitness.entrypoints.server.parsing import Head, Refused, RequestParser

USUAL = b"GET /a HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer x\r\n\r\n"
OTHER_TARGET = USUAL.replace(b"/a", b"/b?c=1")


class Events:
    """What a parser says, in words."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.heads: list[Head] = []
        self.parser = RequestParser(self)

    def head_came(self, head: Head) -> None:
        self.heads.append(head)
        about = head.body_bytes, head.keep_alive, head.expects_continue, head.asks_for_socket
        self.said.append((head.method, head.target, head.version, tuple(head.headers), *about))

    def body_came(self, data: bytes) -> None:
        self.said += data  # its bytes one by one, since they may come in any pieces

    def body_ended(self) -> None:
        self.said.append("end")

    def feed(self, data: bytes) -> None:
        if self.said[-1:] == ["refused"] or self.parser.ended:
            return
        try:
            self.parser.feed(data)
        except Refused:
            self.said.append("refused")


METHODS = st.sampled_from([b"GET", b"HEAD", b"POST", b"get"])
TARGETS = st.sampled_from(
    [
        *(b"/a", b"/b?c=1", b"/c?d=e+f%20g", b"/", b"*", b"//x", b"/a#b", b"/?", b"http://here/a", b"a"),
        *(b"", b" /a", b"/a ", b"/a b", b"/\xc3\xa9", b"/a\tb", b"/a\rb", b"/a\nb", b'/a"b', b"/a HTTP/1.1\r\nX: y"),
        b"/a HTTP/1.1\r\nHost: here\r\n\r\nGET /b",
        b"/a HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\nabcGET /b",
    ]
)
HEADERS = st.sampled_from(
    [
        *(b"", b"Connection: close\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n"),
        *(b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"Content-Length: 0\r\n"),
    ]
)
BODIES = st.sampled_from([b"", b"abc", b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]))
    host = draw(st.sampled_from([b"Host: here\r\n", b"Host: here\r\n", b""]))
    head = draw(METHODS) + b" " + draw(TARGETS) + b" " + version + b"\r\n" + host + draw(HEADERS) + b"\r\n"
    return head + draw(BODIES)


PIECES = st.sampled_from(
    [USUAL, OTHER_TARGET, USUAL + OTHER_TARGET, b"\r\n", b"G", USUAL[:30], USUAL[30:], b"\r\n\r\n"]
)


@given(st.lists(st.one_of(requests(), PIECES, st.just(USUAL)), min_size=1, max_size=6))
@example([USUAL, USUAL.replace(b"/a", b"/a HTTP/1.1\r\nHost: here\r\n\r\nGET /b")])
@example([USUAL, b"G", OTHER_TARGET])
@example([USUAL, USUAL[:30], USUAL])
def test_whole_requests_are_read_as_their_bytes_one_by_one(pieces: list[bytes]):
    whole, by_byte = Events(), Events()
    for piece in pieces:
        whole.feed(piece)
    for byte in b"".join(pieces):
        by_byte.feed(bytes([byte]))
    assert whole.said == by_byte.said


def test_a_request_that_differs_only_in_its_target_is_not_parsed():
    events = Events()
    events.feed(USUAL)
    events.feed(OTHER_TARGET)
    first, second = events.heads
    assert second.target == b"/b?c=1"
    assert second.headers is first.headers
