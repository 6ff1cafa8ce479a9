"""Servers of the tests' own, to be frozen, killed, emptied and cut off."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis
from ops.local.service import own_folder

from fitness.adapters.embedded.binaries import postgres_programs, valkey_program
from fitness.adapters.embedded.engines import CACHE_SETTINGS, EngineUrls, initialize
from fitness.adapters.embedded.processes import Account

PATIENCE_S = 30.0


class Server:
    """One process, with all its children."""

    def __init__(self, folder: Path) -> None:
        self.account = Account.for_engines()
        self.folder = self.account.own(folder)
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, command: list[str | Path], answers: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        with (self.folder / "log").open("ab") as log:
            self.process = self.account.start(command, output=log)
            while not answers():
                if self.process.poll() is not None:  # the one before may still hold its folder
                    time.sleep(0.1)
                    self.process = self.account.start(command, output=log)
                assert time.monotonic() < give_up_s, (self.folder / "log").read_text()
                time.sleep(0.01)

    def signal(self, what: signal.Signals) -> None:
        assert self.process is not None
        for pid in [self.process.pid, *_children(self.process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, what)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9 of the server and its children."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()


class ValkeyServer(Server):
    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self.socket = self.folder / "valkey.sock"
        self.options = options
        self.program = valkey_program(self.account, folder / "spare")

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    def start(self) -> None:
        command: list[str | Path] = [self.program, "--port", "0", "--unixsocket", self.socket, "--dir", self.folder]
        self.launch([*command, "--save", "", *self.options], self._answers)

    def do(self, *command: str) -> object:
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            answer: object = client.execute_command(*command)
            return answer

    def _answers(self) -> bool:
        try:
            return bool(self.do("PING"))
        except redis.RedisError:
            return False


class PostgresServer(Server):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.programs = postgres_programs(self.account, folder / "spare")
        self.cluster = self.account.own(self.folder / "cluster")
        initialize(self.cluster, self.account, self.programs, log=self.folder / "log")

    @property
    def url(self) -> str:
        return f"postgresql:///postgres?host={quote(str(self.folder), safe='')}&user=fitness"

    def start(self) -> None:
        command: list[str | Path] = [self.programs / "postgres", "-D", self.cluster, "-k", self.folder]
        self.launch([*command, "-c", "listen_addresses="], self._answers)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class Proxy:
    """Between the service and its Redis, on a unix socket: passes everything on until `mode` says otherwise."""

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream
        self.path = upstream.with_name("proxy.sock")
        self.mode = "pass"
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.path))}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_unix_server(self._serve, self.path)
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """End every connection."""
        for connection in self._connections:
            connection.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(self.upstream)
        except OSError:
            writer.close()
            return
        self._connections |= {writer, up_writer}
        forth = asyncio.ensure_future(self._forth(reader, up_writer))
        try:
            await self._back(up_reader, writer)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            forth.cancel()
            for one in (writer, up_writer):
                one.close()
                self._connections.discard(one)

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if self.mode != "swallow":
                    writer.write(data)
                    await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if self.mode == "swallow":
                continue
            if self.mode == "truncate" and len(data) > 3:
                writer.write(data[: len(data) // 2])
                return
            writer.write(data)
            await writer.drain()


@contextmanager
def breakable_cache(urls: EngineUrls) -> Iterator[tuple[EngineUrls, ValkeyServer]]:
    """`urls` with another cache in them, which may be frozen and killed."""
    settings = [word for name, value in CACHE_SETTINGS.items() for word in (f"--{name}", value)]
    with own_folder() as folder:
        valkey = ValkeyServer(folder / "valkey", *settings)
        valkey.start()
        try:
            yield replace(urls, redis_url=valkey.url), valkey
        finally:
            valkey.kill()


def _children(parent: int) -> list[int]:
    """By parent: each of PostgreSQL's processes makes a session of its own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(entry.name))
    return found
