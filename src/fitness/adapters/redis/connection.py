"""A connection to Redis: redis-py makes it, and then it is taken over.

redis-py knows how to reach a server: TLS, passwords, Sentinels, a Cluster. But reading a reply through it costs more
than the rest of a question. So once the connection is made, bytes go from the transport to hiredis and to the line.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any, Protocol

import hiredis
from redis.exceptions import AskError, InvalidResponse, MovedError, NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from fitness.foundation.tasks import mark_retrieved

Command = tuple[str | int | float | bytes | memoryview, ...]

Packed = bytes
"""A command as it is written to the server."""

_pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment] # its stub wants tuples of one


def packed(command: Command | Packed) -> Packed:
    return command if isinstance(command, bytes) else _pack(command)


class Connection(Protocol):
    """What a connection of redis-py offers, as far as a line needs it."""

    async def connect(self) -> None: ...

    async def disconnect(self, nowait: bool = False) -> None: ...

    async def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None: ...

    async def read_response(self, disable_decoding: bool = False, timeout: float | None = None) -> Any: ...


class Conversation(asyncio.Protocol):
    """Hands the replies that came together to `replied`, errors as exceptions; and to `ended` why it ended."""

    def __init__(self, replied: Callable[[list[Any]], None], ended: Callable[[Exception], None]) -> None:
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=_error, notEnoughData=_INCOMPLETE)
        self._replied = replied
        self._ended = ended

    def leave(self) -> None:
        """Nothing more is handed on, whatever is still on its way."""
        self._replied = lambda _: None
        self._ended = lambda _: None

    def data_received(self, data: bytes) -> None:
        reader, replies = self._reader, []
        try:
            reader.feed(data)
            while (reply := reader.gets(False)) is not _INCOMPLETE:
                if not isinstance(reply, hiredis.PushNotification):  # what the server says unasked
                    replies.append(reply)
        except InvalidResponse as error:
            self._ended(error)
        self._replied(replies)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended(RedisConnectionError(str(error or "the server closed the connection")))


def taken_over(connection: Connection, conversation: Conversation) -> asyncio.WriteTransport:
    """The transport of a connection on which nothing is under way; from now on its bytes go to `conversation`."""
    writer: asyncio.StreamWriter | None = getattr(connection, "_writer", None)  # redis-py has no other way to it
    if writer is None:
        raise RedisConnectionError("the connection was closed")
    transport = writer.transport
    transport.set_protocol(conversation)
    return transport


_INCOMPLETE = object()
_ERRORS = {"NOSCRIPT": NoScriptError, "READONLY": ReadOnlyError, "MOVED": MovedError, "ASK": AskError}


def _error(text: str) -> ResponseError:
    """What redis-py would raise; its errors of a kind are made of the text behind the kind."""
    kind, _, rest = text.partition(" ")
    return _ERRORS[kind](rest) if kind in _ERRORS else ResponseError(text)


async def handshaken(connection: Connection) -> str:
    """Connect, authenticate, and ask for the run id, once, before the connection is used."""
    await connection.connect()
    await connection.send_packed_command([packed(("INFO", "server"))], check_health=False)
    facts = facts_of(await connection.read_response(disable_decoding=True, timeout=math.inf))
    if "run_id" not in facts:
        raise ResponseError("INFO names no run id")
    return facts["run_id"]


async def given_up(connection: Connection, handshake: "asyncio.Task[str]") -> None:
    """End the handshake, and close what it made."""
    await cancelled(handshake)
    await connection.disconnect(nowait=True)


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """Returns when it has ended. redis-py loses a cancellation that comes while it connects: cancel until it ends."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.05)
    mark_retrieved(task)


def facts_of(reply: bytes) -> dict[str, str]:
    """The lines `name:value` of an answer to INFO."""
    lines = reply.decode("utf-8", "replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
