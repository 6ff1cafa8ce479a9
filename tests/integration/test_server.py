"""The HTTP server by itself, over real sockets: deadlines, bounds, framing, and how it ends."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fitness.entrypoints.server import deadlines
from fitness.entrypoints.server.connection import Connection
from fitness.entrypoints.server.exchange import ANSWERED, MOST_UNREAD_BYTES, UNANSWERED, Answer
from fitness.entrypoints.server.listener import ACCEPTS, Listener
from fitness.entrypoints.server.parsing import MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES
from tests.harness.listening import listening
from tests.patience import PATIENCE_S

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class App:
    """Answers with the path and the length of the body; what it does meanwhile is each test's."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.cancelled = 0
        self.received_bytes = 0
        self.on = asyncio.Event()
        self.answer: Callable[[Any, Any, Any], Awaitable[None]] = self.echo

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        try:
            await self.answer(scope, receive, send)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            body, more = body + message["body"], message["more_body"]
            self.received_bytes += len(message["body"])
        await reply(send, f"{scope['method']} {scope['path']} {len(body)}".encode())

    async def later(self, scope: Any, receive: Any, send: Any) -> None:
        await self.on.wait()
        await self.echo(scope, receive, send)

    async def refuse(self, scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"no", status=401)


async def reply(send: Any, body: bytes, *, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.rstrip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        else:
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(status.split()[1]), headers, body

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        await self.send(data)
        return await self.answer()

    async def closed(self) -> bool:
        """Whether the server has closed the connection without saying more."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True


async def settled() -> None:
    """Returns when the server has read what was sent: both are on one event loop."""
    for _ in range(200):
        await asyncio.sleep(0)


def is_unread(kept: object) -> bool:
    """Whether the connection is not read, since the application does not take what there is of a body."""
    return isinstance(kept, Connection) and kept._pace.unread_since_s is not None


class Served:
    def __init__(self, app: Any, listener: Listener, port: int, refused: list[int]) -> None:
        self.app = app
        self.listener = listener
        self.port = port
        self.refused = refused
        self.clients: list[Client] = []
        self.began_s = asyncio.get_running_loop().time()
        listener._looking.cancel()  # the time is passed by hand

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def until(self, fact: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while not fact():
            assert time.monotonic() < give_up_s
            await asyncio.sleep(0.001)

    def pass_time(self, seconds: float) -> None:
        self.listener.look(asyncio.get_running_loop().time() + seconds)

    def look_before(self, deadline_s: float) -> None:
        """Just before the deadline of what began with the test; of what began later it is longer still."""
        self.listener.look(self.began_s + deadline_s - 0.5)


@asynccontextmanager
async def serving(app: Any, *, per_address: int = 100, exempt: bool = False) -> AsyncIterator[Served]:
    async with listening(app, per_address=per_address, exempt=exempt) as (listener, port, refused):
        served = Served(app, listener, port, refused)
        try:
            yield served
        finally:
            for client in served.clients:
                client.writer.transport.abort()


@pytest.fixture
async def app() -> App:
    return App()


@pytest.fixture
async def served(app: App) -> AsyncIterator[Served]:
    async with serving(app) as one:
        yield one


class TestDeadlines:
    async def test_a_silent_connection_ends_without_a_word(self, served: Served):
        client = await served.client()
        await served.until(lambda: served.listener.connections == 1)
        served.look_before(deadlines.HEAD_S)
        await asyncio.sleep(0)
        assert served.listener.connections == 1
        served.pass_time(deadlines.HEAD_S + 0.1)
        assert await client.closed()
        assert served.refused == []

    async def test_half_a_head_is_answered_408(self, served: Served):
        client = await served.client()
        await client.send(GET[:20])
        await settled()
        served.pass_time(deadlines.HEAD_S + 0.1)
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (408, "close")
        assert await client.closed()
        assert served.refused == [408]

    async def test_an_idle_connection_has_longer(self, served: Served):
        client = await served.client()
        assert (await client.ask(GET))[0] == 200
        served.look_before(deadlines.IDLE_S)
        assert (await client.ask(GET))[0] == 200
        served.pass_time(deadlines.IDLE_S + 0.1)
        assert await client.closed()

    @pytest.mark.parametrize("sent", [0, 5])
    async def test_a_body_that_comes_too_slowly_is_answered_408(self, served: Served, app: App, sent: int):
        client = await served.client()
        await client.send(b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * sent)
        await served.until(lambda: len(app.seen) == 1)
        served.look_before(deadlines.BODY_WINDOW_S)
        assert app.cancelled == 0
        served.pass_time(deadlines.BODY_WINDOW_S + 1)
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (408, "close")
        await served.until(lambda: app.cancelled == 1)

    async def test_so_is_one_that_stalls_after_much_of_it_has_come(self, served: Served, app: App):
        client = await served.client()
        await client.send(b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 900_000)
        await served.until(lambda: app.received_bytes == 900_000)
        served.pass_time(0)
        assert app.cancelled == 0
        served.pass_time(deadlines.BODY_WINDOW_S + 1)
        assert (await client.answer())[0] == 408
        await served.until(lambda: app.cancelled == 1)

    async def test_a_body_that_the_application_does_not_take_is_not_late(self, served: Served, app: App):
        app.answer = app.later
        client = await served.client()
        client.writer.write(b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
        await served.until(lambda: any(is_unread(one) for one in served.listener._connections))
        served.pass_time(10_000)
        app.on.set()
        assert (await client.answer())[2] == b"POST /in 1000000"

    async def test_a_body_that_comes_steadily_may_take_its_time(self, served: Served, app: App):
        client = await served.client()
        await client.send(b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 60_000)
        await settled()
        served.pass_time(50)
        await client.send(b"x" * 40_000)
        assert (await client.answer())[2] == b"POST /in 100000"

    async def test_a_client_that_does_not_read_is_cut_off_and_holds_little(self, served: Served, app: App):
        body = b"x" * 50_000_000

        async def large(_: Any, __: Any, send: Any) -> None:
            await reply(send, body)

        app.answer = large
        client = await served.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        await settled()
        served.look_before(deadlines.UNREAD_S)
        assert served.listener.connections == 1
        served.pass_time(deadlines.UNREAD_S + 1)
        await served.until(lambda: served.listener.connections == 0)
        assert app.cancelled == 1

    async def test_a_request_under_way_has_no_deadline_here(self, served: Served, app: App):
        app.answer = app.later
        client = await served.client()
        await client.send(GET)
        await served.until(lambda: len(app.seen) == 1)
        served.pass_time(10_000)
        app.on.set()
        assert (await client.answer())[0] == 200


class TestBounds:
    async def test_one_connection_more_ends_the_oldest_that_waits_for_its_client(self, app: App):
        async with serving(app, per_address=3) as served:
            first, second, third = [await served.client() for _ in range(3)]
            assert (await first.ask(GET))[0] == 200
            await served.until(lambda: served.listener.connections == 3)
            fourth = await served.client()
            assert (await fourth.ask(GET))[0] == 200
            assert await first.closed()
            assert (await second.ask(GET))[0] == 200
            assert (await third.ask(GET))[0] == 200

    async def test_what_is_being_answered_is_not_ended_for_another(self, app: App):
        app.answer = app.later
        async with serving(app, per_address=2) as served:
            busy = [await served.client() for _ in range(2)]
            for client in busy:
                await client.send(GET)
            await served.until(lambda: len(app.seen) == 2)
            assert await (await served.client()).closed()
            app.on.set()
            assert [(await client.answer())[0] for client in busy] == [200, 200]

    async def test_a_proxy_may_have_as_many_as_it_likes(self, app: App):
        async with serving(app, per_address=1, exempt=True) as served:
            clients = [await served.client() for _ in range(5)]
            assert [(await client.ask(GET))[0] for client in clients] == [200] * 5

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
            (b"GET / HTTP/3.1\r\nHost: a\r\n\r\n", 400),
            (b"GET there HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1e3\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * MAX_HEADERS + b"\r\n", 431),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 500_000, 431),
            (b"GET /" + b"x" * MAX_TARGET_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        ],
    )
    async def test_what_is_no_request_is_refused(self, served: Served, app: App, sent: bytes, status: int):
        client = await served.client()
        client.writer.write(sent)
        answer, headers, body = await client.answer()
        assert (answer, headers["content-type"]) == (status, "application/problem+json"), body
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert await client.closed()
        assert app.seen == []
        assert served.refused == [status]

    @pytest.mark.parametrize(
        "chunks",
        [
            b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
            b"1;xxxxxxxxxxxxxxxx\r\nx\r\n" * 20_000 + b"0\r\n\r\n",
            b"zz\r\n",
            b"5\r\nhelloX\r\n",
        ],
    )
    async def test_chunks_that_are_mostly_framing_are_refused(self, served: Served, app: App, chunks: bytes):
        client = await served.client()
        client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        assert (await client.answer())[0] == 400
        assert await client.closed()
        seen = [one[ANSWERED] for one in app.seen]
        assert seen + served.refused == [400]  # the application counts what it has seen

    async def test_small_chunks_are_a_body(self, served: Served):
        client = await served.client()
        chunks = b"1\r\nx\r\n" * 5_000 + b"0\r\nTrailer: dropped\r\n\r\n"
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert (await client.ask(head + chunks))[2] == b"POST / 5000"
        assert (await client.ask(GET))[2] == b"GET / 0"

    async def test_pipelined_requests_are_answered_in_their_order(self, served: Served):
        client = await served.client()
        await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50)))
        assert [(await client.answer())[2] for _ in range(50)] == [f"GET /{n} 0".encode() for n in range(50)]

    async def test_too_many_pipelined_requests_end_the_connection_after_the_answer_under_way(self, served: Served):
        client = await served.client()
        await client.send(GET * (deadlines.MAX_PIPELINED + 10))
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.closed()


class TestBodies:
    @pytest.mark.parametrize("size", [1_000_000, 5_000_000])
    async def test_who_sends_a_body_that_is_refused_reads_the_answer(self, served: Served, app: App, size: int):
        app.answer = app.refuse
        client = await served.client()
        client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(0, size, 50_000):
            await client.send(b"x" * 50_000)
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (401, "close")
        assert await client.closed()

    async def test_after_a_body_that_came_faster_than_it_was_read_the_connection_goes_on(
        self, served: Served, app: App
    ):
        app.answer = app.later  # so that all of it is there before any of it is read
        client = await served.client()
        for size in (MOST_UNREAD_BYTES + 1, 250_000):
            app.on.clear()
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            await settled()
            app.on.set()
            assert (await client.answer())[2] == b"POST / %d" % size
            async with asyncio.timeout(PATIENCE_S):
                assert (await client.ask(GET))[2] == b"GET / 0"

    async def test_a_small_rest_is_dropped_and_the_connection_kept(self, served: Served, app: App):
        app.answer = app.refuse
        client = await served.client()
        status, headers, _ = await client.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nxxx")
        assert (status, "connection" in headers) == (401, False)
        app.answer = app.echo
        assert (await client.ask(b"x" * 997 + GET))[2] == b"GET / 0"

    async def test_who_drops_on_and_on_is_cut_off(self, served: Served, app: App):
        app.answer = app.refuse
        client = await served.client()
        await client.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n")
        served.pass_time(deadlines.LINGER_S + 1)
        await served.until(lambda: served.listener.connections == 0)

    async def test_a_client_that_asks_first_is_told_to_go_on(self, served: Served):
        client = await served.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(b"abc"))[2] == b"POST / 3"

    async def test_or_is_refused_before_it_sends(self, served: Served, app: App):
        app.answer = app.refuse
        client = await served.client()
        asked = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        status, headers, _ = await client.ask(asked)
        assert (status, headers["connection"]) == (401, "close")

    async def test_a_client_that_leaves_in_the_middle_ends_its_request(self, served: Served, app: App):
        client = await served.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        await served.until(lambda: len(app.seen) == 1)
        client.writer.close()
        await served.until(lambda: app.cancelled == 1)
        assert served.listener.connections == 0

    async def test_a_client_that_only_stops_sending_gets_its_answer(self, served: Served, app: App):
        app.answer = app.later
        client = await served.client()
        await client.send(GET)
        client.writer.write_eof()
        await served.until(lambda: len(app.seen) == 1)
        app.on.set()
        assert (await client.answer())[0] == 200
        assert await client.closed()

    async def test_nothing_is_done_for_long_for_a_client_that_may_be_gone(self, served: Served, app: App):
        app.answer = app.later
        client = await served.client()
        await client.send(GET)
        await served.until(lambda: len(app.seen) == 1)
        client.writer.write_eof()
        await settled()
        served.pass_time(deadlines.GONE_S + 0.1)
        await served.until(lambda: app.cancelled == 1)


class TestAnswers:
    async def test_an_answer_of_unknown_length_is_chunked(self, served: Served, app: App):
        async def streamed(_: Any, __: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for part in (b"one", b"", b"two" * 100_000):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        app.answer = streamed
        client = await served.client()
        assert (await client.ask(GET))[2] == b"one" + b"two" * 100_000
        old = await served.client()
        await old.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await old.reader.read()).endswith(b"\r\n\r\none" + b"two" * 100_000)

    async def test_http_1_0_closes_unless_it_is_asked_not_to(self, served: Served):
        client = await served.client()
        kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        assert (await client.ask(kept))[1]["connection"] == "keep-alive"
        assert (await client.ask(b"GET / HTTP/1.0\r\n\r\n"))[1]["connection"] == "close"
        assert await client.closed()

    async def test_a_failing_application_is_answered_500(self, served: Served, app: App):
        async def fail(*_: Any) -> None:
            raise ZeroDivisionError

        app.answer = fail
        client = await served.client()
        status, headers, body = await client.ask(GET)
        assert (status, headers["connection"]) == (500, "close")
        assert b"internal_error" in body

    async def test_half_an_answer_is_not_taken_for_a_whole_one(self, served: Served, app: App):
        async def fail(_: Any, __: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ZeroDivisionError

        app.answer = fail
        client = await served.client()
        await client.send(GET)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()

    async def test_no_header_can_smuggle_another_one(self, served: Served, app: App):
        async def smuggle(_: Any, __: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"1\r\nset-cookie: a")]})
            await send({"type": "http.response.body", "body": b""})

        app.answer = smuggle
        client = await served.client()
        assert (await client.ask(GET))[0] == 500

    async def test_the_application_sees_the_decoded_path_and_an_absolute_target_as_any_other(
        self, served: Served, app: App
    ):
        client = await served.client()
        assert (await client.ask(b"GET /%C3%A9?q=%20 HTTP/1.1\r\nHost: a\r\n\r\n"))[2] == "GET /é 0".encode()
        assert (await client.ask(b"GET http://a/there?q HTTP/1.1\r\nHost: a\r\n\r\n"))[2] == b"GET /there 0"
        assert [scope["query_string"] for scope in app.seen] == [b"q=%20", b"q"]


class TestQuickWay:
    async def test_it_answers_at_once_or_leaves_what_it_found_in_the_scope(self, app: App):
        class Quick(App):
            def quick(self, method: str, target: bytes, headers: Any) -> Any:
                return self.found(target) if target != b"/unknown" else None

            async def found(self, target: bytes) -> object:
                await asyncio.sleep(0)
                return Answer(200, [(b"content-length", b"2")], b"ok") if target == b"/known" else 7

        quick = Quick()
        async with serving(quick) as served:
            client = await served.client()
            for target, body in [(b"/known", b"ok"), (b"/unknown", b"GET /unknown 0"), (b"/half", b"GET /half 0")]:
                assert (await client.ask(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target))[2] == body
            assert [scope.get(UNANSWERED) for scope in quick.seen] == [None, 7]
            with_body = b"GET /known HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
            assert (await client.ask(with_body))[2] == b"GET /known 1"


class Pending:
    """An answer that is ready when the test says so."""

    def __init__(self, found: object) -> None:
        self.found = found
        self.abandoned = False
        self.ready: Callable[[object], None] = lambda _: None

    def when_ready(self, callback: Callable[[object], None]) -> None:
        self.ready = callback

    def answer(self) -> Any:
        return self.found

    def abandon(self) -> None:
        self.abandoned = True


class TestQuickAnswers:
    async def asked(self, served: Served, app: Any) -> Client:
        client = await served.client()
        await client.send(GET)
        await served.until(lambda: app.asked)
        return client

    @pytest.fixture
    def app(self) -> App:
        class Quick(App):
            asked = False
            pending = Pending(None)

            def quick(self, method: str, target: bytes, headers: Any) -> Any:
                self.asked = True
                return self.pending

        return Quick()

    async def test_it_is_written_once_it_is_ready(self, served: Served, app: Any):
        client = await self.asked(served, app)
        served.pass_time(10_000)
        app.pending.found = Answer(200, [(b"content-length", b"2")], b"ok")
        app.pending.ready(None)
        assert (await client.answer())[2] == b"ok"
        assert app.seen == []

    async def test_it_may_turn_out_to_take_longer(self, served: Served, app: Any):
        async def work() -> object:
            await asyncio.sleep(0)
            return 7

        client = await self.asked(served, app)
        app.pending.found = work()
        app.pending.ready(None)
        assert (await client.answer())[2] == b"GET / 0"
        assert [scope[UNANSWERED] for scope in app.seen] == [7]

    async def test_one_that_fails_is_answered_500(self, served: Served, app: Any):
        async def fails() -> object:
            raise ZeroDivisionError

        for fail in (lambda: 1 // 0, fails):
            app.asked, app.pending = False, Pending(None)
            client = await self.asked(served, app)
            app.pending.answer = fail
            app.pending.ready(None)
            assert (await client.answer())[0] == 500
            assert await client.closed()

    async def test_who_leaves_meanwhile_abandons_it(self, served: Served, app: Any):
        client = await self.asked(served, app)
        client.writer.transport.abort()

        def noticed() -> bool:
            served.pass_time(0)
            return bool(app.pending.abandoned)

        await served.until(noticed)
        app.pending.ready(None)  # too late, and of no interest
        assert served.listener.connections == 0

    async def test_the_service_stops_only_after_it(self, served: Served, app: Any):
        client = await self.asked(served, app)
        draining = asyncio.ensure_future(served.listener.drain(notice_s=0, patience_s=10))
        await settled()
        app.pending.found = Answer(200, [(b"content-length", b"2")], b"ok")
        app.pending.ready(None)
        assert (await client.answer())[1]["connection"] == "close"
        await draining


class TestDraining:
    async def test_what_is_under_way_is_finished_and_says_that_the_connection_ends(self, served: Served, app: App):
        app.answer = app.later
        busy, idle, silent = [await served.client() for _ in range(3)]
        await busy.send(GET)
        await served.until(lambda: len(app.seen) == 1 and served.listener.connections == 3)
        draining = asyncio.ensure_future(served.listener.drain(notice_s=0, patience_s=10))
        assert await idle.closed()
        assert await silent.closed()
        with pytest.raises(ConnectionRefusedError):
            await served.client()
        assert not draining.done()
        app.on.set()
        status, headers, _ = await busy.answer()
        assert (status, headers["connection"]) == (200, "close")
        await draining

    async def test_a_request_on_an_idle_connection_is_still_answered_at_first(self, served: Served):
        client = await served.client()
        await client.ask(GET)
        draining = asyncio.ensure_future(served.listener.drain(notice_s=0, patience_s=10))
        await asyncio.sleep(0)
        status, headers, _ = await client.ask(GET)
        assert (status, headers["connection"]) == (200, "close")
        await draining

    async def test_who_is_connected_already_is_answered_however_many_there_are(self):
        many = 2 * ACCEPTS + 1
        async with serving(App(), per_address=many) as served:
            # The event loop does not run meanwhile: the kernel alone has connected them.
            waiting = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(many)]
            for one in waiting:
                one.sendall(GET)
            await served.listener.drain(notice_s=0, patience_s=PATIENCE_S)
            for one in waiting:
                with one:
                    assert one.recv(1_000).startswith(b"HTTP/1.1 200")

    async def test_until_the_notice_is_over_connections_are_taken(self, served: Served):
        draining = asyncio.ensure_future(served.listener.drain(notice_s=PATIENCE_S, patience_s=10))
        await asyncio.sleep(0)
        status, headers, _ = await (await served.client()).ask(GET)
        assert (status, headers["connection"]) == (200, "close")
        draining.cancel()
        await served.listener.drain(notice_s=0, patience_s=10)

    async def test_what_takes_too_long_is_cut_off(self, served: Served, app: App):
        app.answer = app.later
        client = await served.client()
        await client.send(GET)
        await served.until(lambda: len(app.seen) == 1)
        await served.listener.drain(notice_s=0, patience_s=0.05)
        assert await client.closed()
        await served.until(lambda: app.cancelled == 1)
