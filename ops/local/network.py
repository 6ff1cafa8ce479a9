"""Finds free ports of this machine, and runs small HTTP servers."""

import http.server
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

FIRST_PORT = 10_000
OUTGOING_FROM = 32_768
"""From this number on, Linux uses ports for outgoing connections: one could be taken before it is listened on."""

_random = random.SystemRandom()


def free_port() -> int:
    while True:
        port = _random.randrange(FIRST_PORT, OUTGOING_FROM)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def free_ports(count: int) -> list[int]:
    found = set[int]()
    while len(found) < count:
        found.add(free_port())
    return [*found]


def accepts(host: str, port: int) -> bool:
    """Whether a server listens on this address."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


@contextmanager
def listening(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Runs a server with `handler`; its host and port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class QuietHandler(http.server.BaseHTTPRequestHandler):
    """A handler that writes no log."""

    def log_message(self, *_: object) -> None:
        return None
