"""Starts the service and ends it at a random moment, again and again: python -m tests.soak.ends [--starts 300]

It sends SIGTERM or SIGINT to the whole process group of `make run`, or SIGTERM to that of `fitness serve`, once or
twice, 0 to 3 s after the start, with one worker or four, idle or under load. Each time the service has to end within
END_S, without a traceback, and leave no engine running.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ops.local.client import Client
from ops.local.network import free_port
from ops.local.service import FITNESS, own_folder

END_S = 10.0
LATEST_S = 3.0
ROOT = Path(__file__).parents[2]


def one_end(draw: random.Random, folder: Path) -> str:
    """What went wrong; empty if nothing did."""
    port = free_port()
    workers, loaded, by_make = draw.choice(["1", "4"]), draw.random() < 0.5, draw.random() < 0.5
    # Without make, a SIGINT in the first 30 ms comes while Python starts, which answers it with a traceback.
    how, times = draw.choice([signal.SIGTERM, signal.SIGINT] if by_make else [signal.SIGTERM]), draw.choice([1, 2])
    settings = {"DATA_DIR": str(folder), "PORT": str(port), "METRICS_PORT": str(free_port()), "WORKERS": workers}
    environment = os.environ | {f"FITNESS_{name}": value for name, value in settings.items()}
    command = ["make", "--no-print-directory", "-C", str(ROOT), "run"] if by_make else [str(FITNESS), "serve"]
    with (folder.parent / "log").open("w+") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        after_s = draw.uniform(0, LATEST_S)
        asyncio.run(load(port, after_s)) if loaded else time.sleep(after_s)
        began_s = time.monotonic()
        for _ in range(times):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            time.sleep(draw.choice([0.0, 0.001, 0.05]))
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # make may end before the processes that it started
        while members(process.pid) and time.monotonic() < began_s + END_S:
            time.sleep(0.01)
        took_s = time.monotonic() - began_s
        log.seek(0)
        said = log.read()
    what = f"{how.name} × {times} after {after_s:.3f} s, {workers} workers, {'loaded' if loaded else 'idle'}"
    what += ", make" if by_make else ""
    wrong = []
    if took_s >= END_S:
        wrong.append(f"took {took_s:.1f} s")
    if "Traceback" in said:
        wrong.append(f"traceback: {said[said.find('Traceback') :][:2_000]}")
    if left := engines(folder):
        wrong.append(f"left {left}")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    return f"{what}: {'; '.join(wrong)}" if wrong else ""


async def load(port: int, seconds: float) -> None:
    until_s = time.monotonic() + seconds

    async def ask() -> None:
        client = Client(port, base="")
        while time.monotonic() < until_s:
            try:
                async with asyncio.timeout(max(0.0, until_s - time.monotonic())):
                    await client.ask("POST", "/api/v1/auth/login", {"email": "a@example.org", "password": "12345678"})
            except (OSError, TimeoutError):
                await asyncio.sleep(0.01)
        client.close()

    await asyncio.gather(*(ask() for _ in range(16)))


def members(group: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(its_group) == group and state != "Z":
                    found.append(int(entry.name))
    return found


def engines(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                if str(folder).encode() in line and (b"postgres" in line or b"valkey" in line):
                    found.append(int(entry.name))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    wrong = []
    subprocess.run(["make", "-C", str(ROOT), ".venv/run.stamp"], check=True)  # or `make run` would install it first
    with own_folder() as parent:
        for number in range(given.starts):
            found = one_end(draw, parent / "data")
            if found:
                wrong.append(found)
                print(found, flush=True)
            if number % 20 == 19:
                print(f"{number + 1} starts, {len(wrong)} wrong", flush=True)
    if wrong:
        sys.exit(f"{len(wrong)} of {given.starts} did not end well")


if __name__ == "__main__":
    main()
