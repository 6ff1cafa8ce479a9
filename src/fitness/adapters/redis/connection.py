"""A connection of redis-py, as far as a line needs it: how it begins, and what it says."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import hiredis
from redis.exceptions import ResponseError

Command = tuple[str | int | float | bytes | memoryview, ...]

pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment] # its stub wants tuples of one


class Connection(Protocol):
    """What a connection of redis-py offers, as far as a line needs it."""

    async def connect(self) -> None: ...

    async def disconnect(self, nowait: bool = False) -> None: ...

    async def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None: ...

    async def read_response(self, disable_decoding: bool = False, timeout: float | None = None) -> Any: ...


async def handshaken(connection: Connection) -> str:
    """Connect, authenticate, and ask for the run id, once, before the connection is used."""
    await connection.connect()
    await connection.send_packed_command([pack(("INFO", "server"))], check_health=False)
    facts = facts_of(await connection.read_response(disable_decoding=True, timeout=math.inf))
    if "run_id" not in facts:
        raise ResponseError("INFO names no run id")
    return facts["run_id"]


def facts_of(reply: bytes) -> dict[str, str]:
    """The lines `name:value` of an answer to INFO."""
    lines = reply.decode("utf-8", "replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
