"""Bytes as requests: what a parser remembers of the last request makes no difference."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fitness.entrypoints.server.heads import Head
from fitness.entrypoints.server.parsing import Refused, RequestParser

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


def test_the_body_of_an_older_client_that_names_no_host_is_read():
    events = Events()
    events.feed(b"POST /in HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
    (head,) = events.heads
    assert head.body_bytes == 3
    assert events.said[1:] == [*b"abc", "end"]


def test_a_request_that_differs_only_in_its_target_is_not_parsed():
    events = Events()
    events.feed(USUAL)
    events.feed(OTHER_TARGET)
    first, second = events.heads
    assert second.target == b"/b?c=1"
    assert second.headers is first.headers


LARGE_POST = b"POST /in HTTP/1.1\r\nHost: here\r\nContent-Length: 40000\r\n\r\n" + b"x" * 40_000
CHUNKED = b"POST /in HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT_CHUNKED = CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"
MANY_CHUNKS = CHUNKED + b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n"
MANY_REQUESTS = USUAL * 1_000
LARGE_HEAD = b"GET /a HTTP/1.1\r\nHost: here\r\nX: " + b"x" * 40_000
MUCH_FRAMING = CHUNKED + b"3;" + b"x" * 60_000


@pytest.mark.parametrize("before", [LARGE_POST, MANY_CHUNKS, SHORT_CHUNKED, MANY_REQUESTS, LARGE_POST + SHORT_CHUNKED])
@pytest.mark.parametrize("after", [USUAL, LARGE_POST, SHORT_CHUNKED, SHORT_CHUNKED + MANY_REQUESTS])
class TestWhatComesTogether:
    def test_the_beginning_of_a_request_is_not_charged_with_the_one_before(self, before: bytes, after: bytes):
        events, alone = Events(), Events()
        events.feed(before + after[:10])
        events.feed(after[10:])
        for one in (before, after):
            alone.feed(one)
        assert events.said == alone.said
        assert events.said[-1] == "end"

    def test_requests_in_one_read_are_not_charged_with_each_other(self, before: bytes, after: bytes):
        together, alone = Events(), Events()
        together.feed(before + after)
        for one in (before, after):
            alone.feed(one)
        assert together.said == alone.said
        assert together.said[-1] == "end"

    def test_nor_where_a_read_begins_within_the_end_of_a_head(self, before: bytes, after: bytes):
        alone = Events()
        for one in (before, after):
            alone.feed(one)
        for cut in range(before.index(b"\r\n\r\n"), before.index(b"\r\n\r\n") + 5):
            events = Events()
            events.feed(before[:cut])
            events.feed(before[cut:] + after)
            assert events.said == alone.said


@pytest.mark.parametrize("before", [b"", LARGE_POST, MANY_CHUNKS, SHORT_CHUNKED, MANY_REQUESTS])
@pytest.mark.parametrize(
    "sent", [LARGE_HEAD, LARGE_HEAD + b"\r\n\r\n", MUCH_FRAMING, MUCH_FRAMING + b"\r\nabc\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("read_bytes", [1_000, 65_536, 1_000_000])
def test_what_is_too_much_is_refused_whatever_comes_before_it(before: bytes, sent: bytes, read_bytes: int):
    events, data = Events(), before + sent
    for begin in range(0, len(data), read_bytes):
        events.feed(data[begin : begin + read_bytes])
    assert events.said[-1] == "refused"


def test_what_comes_behind_an_upgrade_is_the_rest_however_much_it_is():
    events = Events()
    events.feed(USUAL.replace(b"Host", b"Upgrade: websocket\r\nConnection: upgrade\r\nHost") + MANY_REQUESTS)
    assert events.parser.ended
    assert events.parser.rest == MANY_REQUESTS
