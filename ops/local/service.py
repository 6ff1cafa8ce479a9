"""Runs `fitness serve` as a separate process on private engines, for the scripts that load it or break it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from ops.local.network import free_port

from fitness.adapters.embedded.engines import EngineUrls, running_engines

FITNESS = Path(sys.executable).parent / "fitness"
PROGRAM_OF_A_CHECKOUT = (sys.executable, "-c", "from fitness.entrypoints.cli import main; main()")
"""Starts the command line of any version, also of one without the installed program `fitness`."""

PATIENCE_S = 60.0


@contextmanager
def own_folder() -> Iterator[Path]:
    """A temporary folder that other users may enter, unlike pytest's: as root the engines run as another user."""
    folder = Path(tempfile.mkdtemp(prefix="fitness-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def engines(*, source: Path | None = None) -> Iterator[EngineUrls]:
    """A migrated PostgreSQL and both Valkeys, in a folder that is removed afterwards.

    With a `source`, its code migrates the database, and the service connects as the owner of the tables, since older
    versions know no other role.
    """
    with own_folder() as folder, running_engines(folder, connections=150) as urls:
        if source is not None:
            urls = replace(urls, database_url=urls.owner_database_url)
        migrating = environment(urls, source)
        if source is None:
            migrating["FITNESS_MIGRATE_DATABASE_URL"] = urls.owner_database_url
        subprocess.run([FITNESS, "migrate", "up"], env=migrating, stdout=subprocess.DEVNULL, check=True)
        yield urls


def environment(urls: EngineUrls, source: Path | None = None, **settings: str) -> dict[str, str]:
    """The environment for a command on those engines. Its code is in the folder `source`, or installed if None."""
    given = {
        "DATABASE_URL": urls.database_url,
        "REDIS_URL": urls.redis_url,
        "STATE_REDIS_URL": urls.state_redis_url,
        "SECRET_KEYS": sha256(b"of a test").hexdigest(),
        **settings,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FITNESS_")}
    code = {"PYTHONPATH": str(source)} if source else {}
    return kept | code | {f"FITNESS_{name}": value for name, value in given.items()}


def with_children(pid: int) -> list[int]:
    """The process, its children and theirs."""
    found = [pid]
    for one in found:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            found += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return found


def process_cpu_s(pid: int) -> float:
    """CPU time of all threads of a process, ended ones too, to the nanosecond."""
    return time.clock_gettime(~pid << 3 | 2)  # Linux's number for that clock, as clock_getcpuclockid(3) returns it


class Instance:
    """A service on given engines, which outlive it."""

    def __init__(
        self, urls: EngineUrls, settings: Mapping[str, str], *, source: Path | None = None, log: Path | None = None
    ) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self._log = log or Path(os.devnull)
        ports = {"PORT": str(self.port), "METRICS_PORT": str(self.metrics_port)}
        self._environment = environment(urls, source, **ports, **settings)
        self._program = PROGRAM_OF_A_CHECKOUT if source else (FITNESS,)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the service, and return when it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._program, "serve"], env=self._environment, stderr=log, start_new_session=True
            )
        give_up_s = time.monotonic() + PATIENCE_S
        while not self._ready():
            assert self._process.poll() is None, "the service ended; run `fitness serve` to see why"
            assert time.monotonic() < give_up_s
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)

    def kill(self) -> None:
        """kill -9 of the service and its workers."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def pids(self) -> list[int]:
        """Ids of the service's process and its workers."""
        assert self._process is not None
        return with_children(self._process.pid)

    def cpu_s(self) -> float:
        """CPU time that the service and its workers have used so far."""
        return sum(process_cpu_s(pid) for pid in self.pids())

    def workers(self) -> list[int]:
        """Ids of the processes that answer requests."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]

    def metrics(self) -> dict[str, float]:
        """Each sample of a scrape, by its name and labels as they are written there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=PATIENCE_S) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=1) as answer:
                return b'"ready"' in answer.read()
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def serving(urls: EngineUrls, **settings: str) -> Iterator[Instance]:
    with serving_from(None, urls, settings) as instance:
        yield instance


@contextmanager
def serving_from(
    source: Path | None, urls: EngineUrls, settings: Mapping[str, str], *, log: Path | None = None
) -> Iterator[Instance]:
    """The service whose code is in the folder `source`, None for this checkout's. Its log is appended to `log`."""
    instance = Instance(urls, settings, source=source, log=log)
    instance.start()
    try:
        yield instance
    finally:
        instance.stop()
