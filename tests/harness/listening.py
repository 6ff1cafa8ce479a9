"""Runs an application behind a listener of this process, on a port of 127.0.0.1."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from fitness.entrypoints.http.problems import problem_of_server
from fitness.entrypoints.listening import SEND_BUFFER_BYTES
from fitness.entrypoints.server.listener import Listener


class Listening(NamedTuple):
    listener: Listener
    port: int
    refused: list[int]
    """The statuses that the server answered by itself."""


@asynccontextmanager
async def listening(app: Any, *, per_address: int = 1_000, exempt: bool = False) -> AsyncIterator[Listening]:
    """Requests under way when the context ends are cut off."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # as for the service's own sockets
    sock.bind(("127.0.0.1", 0))
    sock.listen(1_000)
    refused: list[int] = []
    listener = Listener(
        app,
        sock,
        per_address=per_address,
        most=1_000,
        address_of=lambda peer: None if exempt else peer,
        problem=problem_of_server,
        refused=refused.append,
    )
    try:
        yield Listening(listener, sock.getsockname()[1], refused)
    finally:
        if not listener.draining:
            await listener.drain(notice_s=0, patience_s=0)
