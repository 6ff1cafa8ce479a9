"""A kept-alive HTTP connection that costs little CPU, so that measurements show the service."""

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: bytes
    """The head as it was received, in lower case."""
    body: bytes

    def json(self) -> Any:
        return _decode(self.body)


class Client:
    """A client for the part of HTTP/1.1 that the service uses. Raises OSError if the connection breaks."""

    def __init__(self, port: int, token: str = "", *, base: str = "/api/v1") -> None:
        self._port = port
        self._base = base
        self._authorization = f"authorization: Bearer {token}\r\n" if token else ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: Any = None, *, headers: str = "") -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        content = b"" if body is None else _encode(body)
        kind = "content-type: application/json\r\n" if content else ""
        head = (
            f"{method} {self._base}{path} HTTP/1.1\r\nhost: fitness\r\n{self._authorization}{kind}{headers}"
            f"content-length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        try:
            received = (await reader.readuntil(b"\r\n\r\n")).lower()
            _, found, rest = received.partition(b"\r\ncontent-length: ")
            length = int(rest[: rest.index(b"\r")]) if found else 0
            return Answer(int(received[9:12]), received, await reader.readexactly(length) if length else b"")
        except (asyncio.IncompleteReadError, OSError) as error:
            self.close()
            raise ConnectionError(str(error)) from error
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


PASSWORD = "correct horse"


async def logged_in(port: int, email: str, *, headers: str = "") -> str:
    """The access token of an account, which is registered first if it does not exist."""
    client = Client(port)
    body = {"email": email, "password": PASSWORD}
    await client.ask("POST", "/auth/register", body, headers=headers)
    answer = await client.ask("POST", "/auth/login", body, headers=headers)
    client.close()
    assert answer.status == 200, answer.body
    token: str = answer.json()["access_token"]
    return token
