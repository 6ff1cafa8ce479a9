"""A private PostgreSQL and two Valkeys on unix sockets, which start and end with this process."""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import redis

from fitness.adapters.embedded.binaries import EnginesUnusable, postgres_programs, valkey_program
from fitness.adapters.embedded.processes import Account, private_log
from fitness.adapters.embedded.running import running
from fitness.foundation.temporary import temporary_folder

__all__ = ["EngineUrls", "EnginesUnusable", "initialize", "running_engines", "running_urls"]

# Beyond this a socket's path no longer fits into the kernel's 108 bytes.
MAX_RUN_FOLDER_LENGTH = 80

DATABASE = "fitness"
OWNER = "fitness"
"""The superuser that initdb makes: it owns the tables and migrates them."""
SERVICE = "fitness_service"
"""The role that the service connects as; migrations give it its rights."""

# Without DETAIL, which says `Key (email)=(…) already exists`, and without the values of parameters.
PRIVATE_LOG_SETTINGS = (
    "log_error_verbosity=terse",
    "log_parameter_max_length_on_error=0",
    "log_parameter_max_length=0",
)

# A cache that is loaded from disk would bring back copies that have been invalidated since.
CACHE_SETTINGS = {"save": "", "appendonly": "no", "maxmemory": "256mb", "maxmemory-policy": "allkeys-lru"}
STATE_SETTINGS = {"save": "", "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}


@dataclass(frozen=True, slots=True)
class EngineUrls:
    database_url: str
    """The URL for the service's role."""
    owner_database_url: str
    """The URL for the owner of the tables, who migrates them."""
    redis_url: str
    """The URL of the cache, whose content may be dropped and is gone after a restart."""
    state_redis_url: str
    """The URL of the store of sessions and other state, whose content is kept."""


@contextmanager
def running_engines(
    data_dir: Path, *, connections: int = 100, ended: Callable[[str], None] = lambda _: None
) -> Iterator[EngineUrls]:
    """The engines on the data in `data_dir`, made on first use. Raises EnginesUnusable.

    They end with the context, and with this process even if it is killed. `connections` is PostgreSQL's limit.
    `ended` is called, on a thread of its own, with the name of an engine that ended before the context did.
    """
    account = Account.for_engines()
    with ExitStack() as stack:
        _prepare(data_dir, account)
        stack.enter_context(_only_one(data_dir))
        _close_logs(data_dir)
        run = stack.enter_context(_run_folder(data_dir, account))
        spare = data_dir / "engines"
        database_url, owner_url = stack.enter_context(
            _postgres(data_dir, run, account, postgres_programs(account, spare), connections, ended)
        )
        valkey = valkey_program(account, spare)
        cache_url = stack.enter_context(_valkey("cache", CACHE_SETTINGS, data_dir, run, account, valkey, ended))
        state_url = stack.enter_context(_valkey("state", STATE_SETTINGS, data_dir, run, account, valkey, ended))
        urls = EngineUrls(database_url, owner_url, cache_url, state_url)
        stack.enter_context(_announced(data_dir, urls))
        yield urls


def running_urls(data_dir: Path, *, patience_s: float = 10.0) -> EngineUrls | None:
    """The engines that another process runs on `data_dir`, or None. While they start, wait for up to `patience_s`.

    Raises EnginesUnusable if they are not ready by then.
    """
    give_up_s = time.monotonic() + patience_s
    while time.monotonic() < give_up_s:
        if not _in_use(data_dir):
            return None
        try:
            return EngineUrls(**json.loads((data_dir / "engines.json").read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.1)
    raise EnginesUnusable(f"the service on {data_dir} is starting or stopping; try again in a moment")


def _prepare(data_dir: Path, account: Account) -> None:
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True)
            data_dir.chmod(0o755)  # whatever the umask; the engines' own folders inside are closed to others
    except OSError as error:
        raise EnginesUnusable(f"the data folder {data_dir} cannot be made: {error.strerror}") from error
    if not account.succeeds(["/bin/sh", "-c", 'cd "$0"', data_dir]):
        raise EnginesUnusable(
            f"the data folder {data_dir} is out of reach of uid {account.uid}, as which the engines run; "
            "choose another with FITNESS_DATA_DIR"
        )


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    try:
        lock = (data_dir / "lock").open("w")
    except OSError as error:
        raise EnginesUnusable(f"the data folder {data_dir} cannot be written to: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EnginesUnusable(
                f"a service is already running on {data_dir}; choose another folder with FITNESS_DATA_DIR"
            ) from error
        # We hold the lock, so this was left behind by a service that was killed: nobody may connect to its engines.
        (data_dir / "engines.json").unlink(missing_ok=True)
        yield


def log_folder(data_dir: Path) -> Path:
    return data_dir / "log"


def _close_logs(data_dir: Path) -> None:
    """Make the folder of the logs, for this process's user alone. Earlier versions left logs that all could read."""
    folder = log_folder(data_dir)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    for old in data_dir.glob("*.log"):
        old.chmod(0o600)
        old.replace(folder / f"{old.stem}.before.log")


def _in_use(data_dir: Path) -> bool:
    try:
        with (data_dir / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def _announced(data_dir: Path, urls: EngineUrls) -> Iterator[None]:
    """Lets `running_urls` of other processes find the engines."""
    path, half = data_dir / "engines.json", data_dir / "engines.json.half"
    # A file of another name, renamed when it is complete: a reader finds all of it or nothing.
    half.write_text(json.dumps(asdict(urls)))
    half.chmod(0o600)
    half.rename(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _run_folder(data_dir: Path, account: Account) -> Iterator[Path]:
    """The folder of the sockets: closed to other users, and its path not too long."""
    # PostgreSQL takes a comma for the end of one folder and the beginning of another.
    if len(os.fsencode(data_dir / "run")) <= MAX_RUN_FOLDER_LENGTH and "," not in str(data_dir):
        yield account.own(data_dir / "run")
        return
    with temporary_folder("fitness-run-") as folder:
        folder.chmod(0o711)  # the account may pass through it, and open only its own folder inside
        yield account.own(folder / "run")


@contextmanager
def _postgres(
    data_dir: Path, run: Path, account: Account, programs: Path, connections: int, ended: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    """The URLs of the service and of the owner."""
    cluster = data_dir / "postgres"
    if not cluster.exists():
        half = account.own(data_dir / "postgres.half")
        initialize(half, account, programs, log=log_folder(data_dir) / "postgres.log")
        half.rename(cluster)
    command: list[str | Path] = [programs / "postgres", "-D", cluster, "-k", run, "-c", "listen_addresses="]
    for setting in (f"max_connections={connections}", *PRIVATE_LOG_SETTINGS):
        command += ["-c", setting]
    server = f"postgresql:///{{}}?host={quote(str(run), safe='')}&user={{}}"

    def answers() -> bool:
        try:
            with psycopg.connect(server.format("postgres", OWNER), autocommit=True, connect_timeout=5) as connection:
                _complete(connection)
        except psycopg.OperationalError:
            return False
        return True

    log = log_folder(data_dir) / "postgres.log"
    with running(command, account, log, answers, signal.SIGINT, "PostgreSQL", ended):
        yield server.format(DATABASE, SERVICE), server.format(DATABASE, OWNER)


def _complete(connection: psycopg.Connection[Any]) -> None:
    """Make the database and the service's role, where they are missing."""
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
        connection.execute(f"CREATE DATABASE {DATABASE}".encode())
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [SERVICE]).fetchone() is None:
        connection.execute(f"CREATE ROLE {SERVICE} LOGIN".encode())


def initialize(folder: Path, account: Account, programs: Path, *, log: Path) -> None:
    """Make an empty cluster in `folder`, whatever an earlier attempt left there. Raises EnginesUnusable."""
    for leftover in folder.iterdir():  # of a start that was killed at this point
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    command: list[str | Path] = [
        programs / "initdb",
        "-D",
        folder,
        "-U",
        OWNER,
        "--auth=trust",
        "--locale=C.UTF-8",
        "--encoding=UTF8",
    ]
    with private_log(log) as output:
        if account.start([*command, "--no-sync"], output=output).wait() != 0:
            raise EnginesUnusable(f"PostgreSQL's data folder could not be made; see {log}")


@contextmanager
def _valkey(
    purpose: str,
    settings: Mapping[str, str],
    data_dir: Path,
    run: Path,
    account: Account,
    program: Path,
    ended: Callable[[str], None],
) -> Iterator[str]:
    folder = account.own(data_dir / f"valkey-{purpose}")
    socket = run / f"{purpose}.sock"
    command: list[str | Path] = [program, "--port", "0", "--unixsocket", socket, "--dir", folder]
    for name, value in settings.items():
        command += [f"--{name}", value]

    def answers() -> bool:
        client = redis.Redis(unix_socket_path=str(socket), socket_timeout=1)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    log = log_folder(data_dir) / f"valkey-{purpose}.log"
    with running(command, account, log, answers, signal.SIGTERM, "Valkey", ended):
        yield f"unix://{quote(str(socket))}"
