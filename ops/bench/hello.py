"""Runs granian with an application that answers 17 bytes, to measure what a fast server needs for an empty request.

python -m ops.bench.hello PORT
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from granian.constants import Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server
from ops.local.network import free_port
from ops.local.service import PATIENCE_S, process_cpu_s, with_children

from fitness.entrypoints.serving import tune_garbage_collection
from fitness.foundation.parent_death import die_with_parent

BODY = b"hello, it is me!\n"
HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))],
}
REST = {"type": "http.response.body", "body": BODY}

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


async def hello(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send(HEAD)
        await send(REST)
    elif scope["type"] == "lifespan":
        for _ in ("startup", "shutdown"):
            await send({"type": (await receive())["type"] + ".complete"})


class Hello:
    """The server as a process of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen([sys.executable, "-m", "ops.bench.hello", str(self.port)])

    def wait(self) -> None:
        """Return when the server answers."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, "hello ended"
            assert time.monotonic() < give_up_s
            time.sleep(0.02)

    def stop(self) -> None:
        """kill -9, of the worker too, since there is nothing to finish."""
        self._process.kill()
        self._process.wait()

    def pids(self) -> list[int]:
        return with_children(self._process.pid)

    def cpu_s(self) -> float:
        return sum(process_cpu_s(pid) for pid in self.pids())

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=1) as answer:
                return bool(answer.read() == BODY)
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def saying_hello() -> Iterator[Hello]:
    server = Hello()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def _load(parent_pid: int) -> App:
    die_with_parent(parent_pid, signal.SIGKILL)
    tune_garbage_collection()
    return hello


def main() -> None:
    die_with_parent(os.getppid(), signal.SIGTERM)
    server = Server(
        "hello",
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.ASGI,
        workers=1,
        loop=Loops.uvloop,
        http1_settings=HTTP1Settings(header_read_timeout=5_000),
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=partial(_load, os.getpid()), wrap_loader=False)


if __name__ == "__main__":
    main()
