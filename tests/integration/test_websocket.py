"""The server's WebSocket, under an application that has nothing else."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from fitness.entrypoints.server import websocket
from fitness.entrypoints.server.websocket import Socket
from tests.harness.listening import Listening, listening
from tests.patience import PATIENCE_S

HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(b"k" * 16) + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Echo:
    """Says what it hears; "close" closes, "fail" fails, and "flood" says more than anybody takes."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.scopes: list[dict[str, Any]] = []

    def takes_socket(self, path: str) -> bool:
        return path in ("/echo", "/refused", "/deaf")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"plain"})
            return
        self.scopes.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/refused":
            await send({"type": "websocket.close", "reason": "not from here"})
            return
        await send({"type": "websocket.accept"})
        if scope["path"] == "/deaf":
            await asyncio.Event().wait()
        while (message := await receive())["type"] == "websocket.receive":
            await self._answer(message, send)
        self.ended.append(message["code"])

    async def _answer(self, message: Any, send: Any) -> None:
        match message.get("text"):
            case "close":
                await send({"type": "websocket.close", "code": 4400, "reason": "as you say"})
            case "fail":
                raise ZeroDivisionError
            case "flood":
                while True:
                    await send({"type": "websocket.send", "text": "x" * 10_000})
            case None:
                await send({"type": "websocket.send", "text": message["bytes"].hex()})
            case text:
                await send({"type": "websocket.send", "text": text})


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def here(echo: Echo) -> AsyncIterator[Listening]:
    async with listening(echo) as here:
        yield here


def to(here: Listening, path: str = "/echo", **given: Any) -> connect:
    return connect(f"ws://127.0.0.1:{here.port}{path}", **given)


async def closed(client: ClientConnection) -> tuple[int | None, str | None]:
    """The code and the reason that the server gave."""
    async with asyncio.timeout(PATIENCE_S):
        with suppress(ConnectionClosed):
            async for _ in client:
                pass
    return client.close_code, client.close_reason


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - what it waits for knows no event
            await asyncio.sleep(0.01)


async def test_messages_come_whole_and_in_order(here: Listening, echo: Echo):
    async with to(here) as client:
        for said in ("a", "ü" * 2_000, ""):
            await client.send(said)
            assert await client.recv() == said
        await client.send(["in ", "three ", "frames"])
        assert await client.recv() == "in three frames"
        await client.send(b"\x01\xff")
        assert await client.recv() == "01ff"
    await until(lambda: echo.ended)
    assert echo.ended == [1000]
    assert (echo.scopes[0]["type"], echo.scopes[0]["path"]) == ("websocket", "/echo")


async def test_nothing_is_compressed(here: Listening):
    async with to(here) as client:
        assert client.protocol.extensions == []


async def test_the_application_closes_with_a_code_of_its_own(here: Listening):
    async with to(here) as client:
        await client.send("close")
        assert await closed(client) == (4400, "as you say")


async def test_a_failure_is_logged_and_told(here: Listening, caplog: pytest.LogCaptureFixture):
    async with to(here) as client:
        await client.send("fail")
        assert (await closed(client))[0] == 1011
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("pieces", [["x" * 4_097], ["x" * 3_000, "x" * 3_000]])
async def test_a_message_of_more_than_4_KiB_ends_it(here: Listening, pieces: list[str]):
    async with to(here) as client:
        await client.send(pieces if len(pieces) > 1 else pieces[0])
        assert (await closed(client))[0] == 1009


async def test_text_that_is_none_ends_it(here: Listening):
    async with to(here) as client:
        await client.send(b"\xff\xfe", text=True)
        assert (await closed(client))[0] == 1007


async def test_messages_that_nobody_reads_end_it(here: Listening):
    async with to(here, "/deaf") as client:
        for _ in range(20):
            await client.send("x")
        assert (await closed(client))[0] == 1008


async def test_an_application_that_does_not_accept_answers_403(here: Listening):
    with pytest.raises(InvalidStatus) as refusal:
        async with to(here, "/refused"):
            pass
    assert refusal.value.response.status_code == 403
    assert refusal.value.response.headers["content-type"] == "application/problem+json"


async def test_what_is_no_handshake_is_400_and_says_which_version_is_known(here: Listening):
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    writer.write(HANDSHAKE.replace(b"Version: 13", b"Version: 8"))
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"sec-websocket-version: 13" in answer
    assert here.refused == [400]
    writer.close()


async def test_an_upgrade_that_nobody_takes_is_an_ordinary_request(here: Listening):
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    writer.write(HANDSHAKE.replace(b"/echo", b"/plain"))
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"plain")
    writer.close()


async def test_what_comes_together_with_the_handshake_is_heard(here: Listening):
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    masked = bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi"
    writer.write(HANDSHAKE + masked)
    answer = await asyncio.wait_for(reader.readuntil(b"\x81\x02hi"), PATIENCE_S)
    assert answer.startswith(b"HTTP/1.1 101")
    writer.close()


async def test_a_socket_follows_ordinary_requests_on_the_same_connection(here: Listening):
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    writer.write(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"plain"), PATIENCE_S)
    writer.write(HANDSHAKE)
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)).startswith(b"HTTP/1.1 101")
    writer.close()


async def test_a_client_that_is_gone_without_a_word_is_noticed(here: Listening, echo: Echo):
    client = await to(here)
    client.transport.abort()
    await until(lambda: echo.ended)
    assert echo.ended == [1006]
    await until(lambda: here.listener.connections == 0)


async def test_a_silent_client_is_asked_whether_it_is_there_and_one_that_does_not_answer_is_cut_off(
    here: Listening, echo: Echo
):
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    writer.write(HANDSHAKE)
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    asked_s = loop.time() + websocket.PING_S + 1
    here.listener.look(asked_s)
    assert await asyncio.wait_for(reader.readexactly(2), PATIENCE_S) == b"\x89\x00"
    writer.write(bytes([0x8A, 0x80, 0, 0, 0, 0]))  # a pong
    writer.write(bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi")
    await asyncio.wait_for(reader.readexactly(4), PATIENCE_S)
    here.listener.look(asked_s + websocket.PONG_S + 1)  # it was heard: it is asked anew
    assert await asyncio.wait_for(reader.readexactly(2), PATIENCE_S) == b"\x89\x00"
    here.listener.look(asked_s + 2 * websocket.PONG_S + 2)
    await until(lambda: echo.ended)
    assert echo.ended == [1006]
    writer.close()


async def test_a_client_that_reads_nothing_keeps_the_application_waiting_and_a_close_does_not_wait_for_ever(
    here: Listening, echo: Echo
):
    _, writer = await asyncio.open_connection("127.0.0.1", here.port, limit=1)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(HANDSHAKE + bytes([0x81, 0x85, 0, 0, 0, 0]) + b"flood")
    await until(lambda: any(isinstance(one, Socket) and one._drained for one in here.listener._connections))
    (socket,) = here.listener._connections
    assert isinstance(socket, Socket)
    assert socket._transport.get_write_buffer_size() < 200_000
    socket.end_if_idle()
    here.listener.look(asyncio.get_running_loop().time() + websocket.CLOSING_S + 1)
    await until(lambda: here.listener.connections == 0)
    writer.close()


async def test_a_socket_on_which_nothing_was_said_yet_makes_room_for_another_connection(echo: Echo):
    async with listening(echo, per_address=2) as here, to(here) as heard, to(here) as silent:
        await heard.send("hi")
        assert await heard.recv() == "hi"
        await until(lambda: len(echo.scopes) == 2)
        async with to(here) as third:
            assert (await closed(silent))[0] == 1006
            for client in (heard, third):
                await client.send("still here")
                assert await client.recv() == "still here"


async def test_a_socket_whose_client_waits_for_the_application_does_not(echo: Echo):
    async with listening(echo, per_address=2) as here, to(here) as one, to(here) as other:
        for client in (one, other):
            await client.send("hi")
            await client.recv()
        with pytest.raises((InvalidMessage, ConnectionError)):
            await to(here)
        for client in (one, other):
            await client.send("still here")
            assert await client.recv() == "still here"


async def test_a_socket_whose_close_the_client_does_not_answer_makes_room(echo: Echo):
    async with listening(echo, per_address=1) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(HANDSHAKE + bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi")
        await asyncio.wait_for(reader.readuntil(b"\x81\x02hi"), PATIENCE_S)
        writer.write(bytes([0x81, 0x85, 0, 0, 0, 0]) + b"close")
        await asyncio.wait_for(reader.readuntil(b"as you say"), PATIENCE_S)
        async with to(here) as client:
            await client.send("hi")
            assert await client.recv() == "hi"
        writer.close()


async def test_a_stopping_service_says_so(echo: Echo):
    async with listening(echo) as here:
        async with to(here) as client:
            draining = asyncio.ensure_future(here.listener.drain(notice_s=0, patience_s=PATIENCE_S))
            assert await closed(client) == (1012, "the service restarts: connect again")
        await draining


async def test_the_protocol_itself_logs_nothing(here: Listening, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="fitness")
    async with to(here):
        pass
    assert [one for one in caplog.records if one.name.startswith("fitness")] == []
