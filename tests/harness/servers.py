"""The tests' own servers, which may be frozen, killed, emptied and cut off."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis
from ops.local.service import own_folder
from redis.exceptions import RedisError

from fitness.adapters.embedded.binaries import postgres_programs, valkey_program
from fitness.adapters.embedded.engines import CACHE_SETTINGS, STATE_SETTINGS, EngineUrls, initialize
from fitness.adapters.embedded.processes import Account
from fitness.adapters.redis.client import AnyLine
from tests.patience import PATIENCE_S


class Server:
    """A server: one process with all its children."""

    def __init__(self, folder: Path) -> None:
        self.account = Account.for_engines()
        self.folder = self.account.own(folder)
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, command: list[str | Path], answers: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        with (self.folder / "log").open("ab") as log:
            self.process = self.account.start(command, output=log)
            while not answers():
                if self.process.poll() is not None:  # the previous process may still hold the folder
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

    def says(self, *command: str) -> str:
        """The answer as text, without the client's conversions."""
        with self._client() as client:
            client.response_callbacks.clear()
            return str(client.execute_command(*command))

    def _client(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.socket), protocol=2, decode_responses=True)

    def _answers(self) -> bool:
        try:
            return bool(self.do("PING"))
        except redis.RedisError:
            return False


class TcpValkey(ValkeyServer):
    """A Valkey on a port of 127.0.0.1, as Clusters and Sentinels need it."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        super().__init__(folder, "--bind", "127.0.0.1", *options)
        self.port = port

    def start(self) -> None:
        command: list[str | Path] = [self.program, "--port", str(self.port), "--dir", self.folder, "--save", ""]
        self.launch([*command, *self.options], self._answers)

    def do(self, *command: str) -> str:
        return self.says(*command)

    def _client(self) -> "redis.Redis":
        return redis.Redis(port=self.port, protocol=2, decode_responses=True)


class SentinelServer(TcpValkey):
    def __init__(self, folder: Path, port: int, primary_port: int) -> None:
        super().__init__(folder, port)
        settings = self.folder / "sentinel.conf"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor primary 127.0.0.1 {primary_port} 1\n"
            "sentinel down-after-milliseconds primary 500\nsentinel failover-timeout primary 2000\n"
        )
        settings.chmod(0o666)  # it rewrites its own settings
        self.settings = settings

    def start(self) -> None:
        self.launch([self.program, self.settings, "--sentinel"], self._answers)


def wait_until_says(server: ValkeyServer, fact: str, *command: str) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while fact not in (said := server.says(*command)):
        assert time.monotonic() < give_up_s, f"not {fact} after {PATIENCE_S} s: {said}"
        time.sleep(0.05)


@contextmanager
def standing_still(pids: Iterable[int]) -> Iterator[None]:
    """Stops these processes during the context; they may be ended meanwhile."""
    stopped = [*pids]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def answered(line: AnyLine) -> None:
    """Return once every server has answered: on a busy machine, connecting may take longer than its deadline."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(RedisError):
                await line.ask_everywhere(("PING",))
                return
            await asyncio.sleep(0.01)


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
    """A proxy between the service and a store, on a unix socket; `mode` is pass, swallow or truncate."""

    def __init__(self, upstream: Path, path: Path | None = None) -> None:
        self.upstream = upstream
        self.path = path or upstream.with_name("proxy.sock")
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


class ProxyProcess:
    """A proxy in a process of its own. While it is frozen, nothing gets through, and no connection ends."""

    def __init__(self, upstream: Path, path: Path) -> None:
        code = f"import tests.harness.servers as s; s.serve_proxy({str(upstream)!r}, {str(path)!r})"
        self._process = subprocess.Popen([sys.executable, "-c", code])
        give_up_s = time.monotonic() + PATIENCE_S
        while not path.exists():
            assert time.monotonic() < give_up_s
            time.sleep(0.01)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def serve_proxy(upstream: str, path: str) -> None:
    """Run a proxy until this process is killed."""

    async def serve() -> None:
        async with Proxy(Path(upstream), Path(path)).running():
            await asyncio.get_running_loop().create_future()

    asyncio.run(serve())


@contextmanager
def busy_loops(count: int, *, at_most_s: float) -> Iterator[None]:
    """`count` processes that only use CPU; they end with the context, at the latest `at_most_s` after their start."""
    code = f"import time\nend_s = time.monotonic() + {at_most_s}\nwhile time.monotonic() < end_s: pass"
    loops = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextmanager
def breakable_cache(urls: EngineUrls) -> Iterator[tuple[EngineUrls, ValkeyServer]]:
    """`urls` with another cache, which may be frozen and killed."""
    with _breakable(CACHE_SETTINGS) as valkey:
        yield replace(urls, redis_url=valkey.url), valkey


@contextmanager
def breakable_state(urls: EngineUrls) -> Iterator[tuple[EngineUrls, ValkeyServer]]:
    """`urls` with another server for limits and sessions, which may be frozen and killed."""
    with _breakable(STATE_SETTINGS) as valkey:
        yield replace(urls, state_redis_url=valkey.url), valkey


@contextmanager
def _breakable(settings: Mapping[str, str]) -> Iterator[ValkeyServer]:
    options = [word for name, value in settings.items() if name != "save" for word in (f"--{name}", value)]
    with own_folder() as folder:
        valkey = ValkeyServer(folder / "valkey", *options)
        valkey.start()
        try:
            yield valkey
        finally:
            valkey.kill()


def _children(parent: int) -> list[int]:
    """Child processes, found by their parent: PostgreSQL's processes each make a session of their own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(entry.name))
    return found
