"""Runs `fitness serve` as an operator does, on engines that it starts itself, and the other commands."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import httpx
from ops.local.network import free_port
from ops.local.service import FITNESS

from tests.patience import PATIENCE_S


class Service:
    """`fitness serve` with its own data folder and ports, and the other commands on the same data."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.port, self.metrics_port = free_port(), free_port()
        ports = {"PORT": str(self.port), "METRICS_PORT": str(self.metrics_port)}
        given = {"DATA_DIR": str(data_dir), **ports, "RATE_LIMIT_SCALE": "0"} | settings
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FITNESS_")}
        self.environment = kept | {f"FITNESS_{name}": value for name, value in given.items()}
        self.process: subprocess.Popen[str] | None = None
        self._log = data_dir.parent / "service.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def scrape(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=PATIENCE_S).text

    def start(self, status: str = "ready") -> float:
        """Start, and return when readiness has that `status`; the seconds that took."""
        started_s = time.monotonic()
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [FITNESS, "serve"], env=self.environment, stdout=log, stderr=log, text=True, start_new_session=True
            )
        while time.monotonic() < started_s + PATIENCE_S:
            assert self.process.poll() is None, self.log()
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=PATIENCE_S).json()["status"] == status:
                    return time.monotonic() - started_s
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"not ready after {PATIENCE_S} s: {self.log()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def kill_everything(self) -> None:
        """kill -9 of the service and its workers, all at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def workers(self) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if "fitness serve" in command(int(pid))]

    def engines(self) -> list[str]:
        """Command lines of the engines' processes on this data folder."""
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        found = [command(pid) for pid in pids]
        return [line for line in found if re.search(r"(postgres|valkey-server)", line) and str(self.data_dir) in line]

    def wait_until_engines_are_gone(self) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while self.engines():
            assert time.monotonic() < give_up_s, self.engines()
            time.sleep(0.05)

    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [FITNESS, *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def log(self) -> str:
        return self._log.read_text()

    def wait_until_logged(self, text: str) -> None:
        """The workers answer before their parent has said all that it says at the start."""
        log_says(self._log, text)


def log_says(log: Path, text: str) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while text not in log.read_text():
        assert time.monotonic() < give_up_s, log.read_text()
        time.sleep(0.05)


LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[\w+ *\] ")


def mistake(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """A command's exit code, and its own words on standard error.

    The lines of the log are left out: a store that a busy machine keeps waiting is worth a warning there.
    """
    own = (line for line in done.stderr.splitlines(keepends=True) if not LOG_LINE.match(line))
    return done.returncode, "".join(own)


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
