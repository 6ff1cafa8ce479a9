"""A connection to Redis: redis-py makes it, then the line takes over its transport.

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
"""A command as the bytes that are written to the server."""

_pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment] # its stub wants tuples of one


def packed(command: Command | Packed) -> Packed:
    return command if isinstance(command, bytes) else _pack(command)


class Connection(Protocol):
    """The methods of a redis-py connection that a line needs."""

    async def connect(self) -> None: ...

    async def disconnect(self, nowait: bool = False) -> None: ...

    async def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None: ...

    async def read_response(self, disable_decoding: bool = False, timeout: float | None = None) -> Any: ...


class Conversation(asyncio.Protocol):
    """Passes each batch of replies to `replied`, error replies as exceptions, and the reason for its end to `ended`."""

    def __init__(self, replied: Callable[[list[Any]], None], ended: Callable[[Exception], None]) -> None:
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=_error, notEnoughData=_INCOMPLETE)
        self._replied = replied
        self._ended = ended

    def leave(self) -> None:
        """Pass on nothing more, even if replies still arrive."""
        self._replied = lambda _: None
        self._ended = lambda _: None

    def data_received(self, data: bytes) -> None:
        reader, replies = self._reader, []
        try:
            reader.feed(data)
            while (reply := reader.gets(False)) is not _INCOMPLETE:
                if not isinstance(reply, hiredis.PushNotification):  # answers no question
                    replies.append(reply)
        except InvalidResponse as error:
            self._ended(error)
        self._replied(replies)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended(RedisConnectionError(str(error or "the server closed the connection")))


def taken_over(connection: Connection, conversation: Conversation) -> asyncio.WriteTransport:
    """The transport of an idle connection, whose bytes go to `conversation` from now on."""
    writer: asyncio.StreamWriter | None = getattr(connection, "_writer", None)  # redis-py has no public access to it
    if writer is None:
        raise RedisConnectionError("the connection was closed")
    transport = writer.transport
    transport.set_protocol(conversation)
    return transport


_INCOMPLETE = object()
_ERRORS = {"NOSCRIPT": NoScriptError, "READONLY": ReadOnlyError, "MOVED": MovedError, "ASK": AskError}


def _error(text: str) -> ResponseError:
    """The exception that redis-py would raise. Its class for a kind of error takes the text without the kind."""
    kind, _, rest = text.partition(" ")
    return _ERRORS[kind](rest) if kind in _ERRORS else ResponseError(text)


async def handshaken(connection: Connection) -> str:
    """Connect, authenticate, and return the server's run id, which is asked for once, before the connection is used."""
    await connection.connect()
    await connection.send_packed_command([packed(("INFO", "server"))], check_health=False)
    facts = facts_of(await connection.read_response(disable_decoding=True, timeout=math.inf))
    if "run_id" not in facts:
        raise ResponseError("INFO names no run id")
    return facts["run_id"]


async def given_up(connection: Connection, handshake: "asyncio.Task[str]") -> None:
    """End the handshake, and close its connection."""
    await cancelled(handshake)
    await connection.disconnect(nowait=True)


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """Cancel `task` until it has ended: redis-py loses a cancellation that comes while it connects."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.05)
    mark_retrieved(task)


def facts_of(reply: bytes) -> dict[str, str]:
    """The values in an answer to INFO, by name."""
    lines = reply.decode("utf-8", "replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
