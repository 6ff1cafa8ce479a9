"""Measures what files that were made to do harm cost the service and its other users.

    python -m tests.soak.hostile_files [--attackers 6] [--seconds 60] [--ends 5]

First each file is read alone: it has to be refused or read within 10 s of CPU time and 256 MiB. Then attackers upload
all files again and again, every third time leaving early, while a bystander imports a track of 200 bytes each quarter
of a second, which has to be answered within a second. An upload that was not answered with 201 must make no activity,
not even later. Last, the service is ended during such an attack, which has to take less than 5 s. Exits with 1 if any
of it fails.
"""

import argparse
import asyncio
import os
import random
import resource
import statistics
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

import httpx
from ops.local.client import logged_in
from ops.local.service import Instance, engines, serving

from fitness.adapters.files.reader import FileRecordingReader
from fitness.domain.model.refusals import Refusal
from fitness.foundation.parent_death import die_with_parent
from fitness.ports.outages import Outage
from tests.files import MORNING
from tests.hostile import MOST_BYTES, Make, cut_files, hostile_files, packed

CPU_S = 10.0
MEMORY_MIB = 256
BYSTANDER_S = 1.0
END_S = 5.0
LEAVES_AFTER_S = (0.05, 2.0)
WITHOUT_LIMITS = {"RATE_LIMIT_SCALE": "0"}

_numbers = count(1)


def a_tiny_track() -> bytes:
    """A new track each time, which began at another hour, since one with the same start would be a duplicate."""
    began = MORNING - timedelta(hours=next(_numbers))
    times = (began, began + timedelta(minutes=30))
    first, last = (f'<trkpt lat="1" lon="1"><time>{time:%Y-%m-%dT%H:%M:%SZ}</time></trkpt>' for time in times)
    return f"<gpx><trk><trkseg>{first}{last}</trkseg></trk></gpx>".encode()


@dataclass(frozen=True)
class Reading:
    name: str
    outcome: str
    cpu_s: float
    """CPU time of all processes that took part, from their start."""
    took_s: float
    peak_mib: float
    """The highest memory of one process that was seen."""

    @property
    def wrong(self) -> list[str]:
        return [
            *([f"{self.name}: {self.cpu_s:.1f} s of CPU time"] if self.cpu_s > CPU_S else []),
            *([f"{self.name}: {self.peak_mib:.0f} MiB"] if self.peak_mib > MEMORY_MIB else []),
            *([f"{self.name}: {self.outcome}"] if self.outcome.startswith("ReaderUnavailable") else []),
        ]

    def row(self) -> str:
        used = f"{self.cpu_s:5.2f} s of CPU, {self.took_s:5.2f} s, {self.peak_mib:3.0f} MiB"
        return f"{self.name:45} {used}  {self.outcome[:90]}"


async def read_alone(name: str, *makes: Make) -> Reading:
    """Read the files one after the other, in processes of their own; the outcome is that of the last file."""
    files = [make() for make in makes]
    before_s, began_s = children_cpu_s(), time.monotonic()
    with closing(FileRecordingReader(partial(die_with_parent, os.getpid()))) as reader:
        watching = asyncio.ensure_future(peak_mib(reader))
        for data in files:
            try:
                identity = await reader.identify(data)
                found = await reader.read(data, identity, home_timezone="UTC", now=MORNING)
                outcome = f"{len(found.activities)} activities"
            except (Refusal, Outage) as error:
                outcome = f"{type(error).__name__}: {error}"
        watching.cancel()
        peak = await watching
    return Reading(name, outcome, children_cpu_s() - before_s, time.monotonic() - began_s, peak)


async def peak_mib(reader: FileRecordingReader) -> float:
    """The highest memory of a reading process, watched until this is cancelled."""
    peak = 0.0
    with suppress(asyncio.CancelledError):
        while True:
            peak = max(peak, *(process_peak_mib(pid) for pid in reader.pids()), 0.0)
            await asyncio.sleep(0.005)
    return peak


def process_peak_mib(pid: int) -> float:
    """Peak memory; 0 if the process has just ended. `ru_maxrss` would include that of the process that started it."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    return 0.0


def children_cpu_s() -> float:
    """CPU time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass
class Account:
    token: str
    statuses: Counter[int] = field(default_factory=Counter)
    made: int = 0
    """Activities that answers with 201 named."""
    left: int = 0
    """Uploads that were broken off; each of them may have been carried out."""


@dataclass
class Attack:
    """Uploads by many attackers, each one after the other, and by a bystander."""

    port: int
    files: list[bytes]
    attackers: list[Account]
    bystander: Account
    bystander_s: list[float] = field(default_factory=list)
    stop: bool = False

    async def run(self, seconds: float) -> None:
        running = [asyncio.ensure_future(self._attacks(account)) for account in self.attackers]
        running.append(asyncio.ensure_future(self._looks_on()))
        await asyncio.sleep(seconds)
        self.stop = True
        await asyncio.gather(*running)

    async def _attacks(self, account: Account) -> None:
        async with self._client(account) as client:
            while not self.stop:
                uploading = asyncio.ensure_future(self._upload(client, account, random.choice(self.files)))
                leaves_after_s = random.uniform(*LEAVES_AFTER_S) if random.random() < 1 / 3 else None
                await asyncio.wait({uploading}, timeout=leaves_after_s)
                if not uploading.done():
                    account.left += 1
                    uploading.cancel()
                with suppress(asyncio.CancelledError):
                    await uploading

    async def _looks_on(self) -> None:
        async with self._client(self.bystander) as client:
            while not self.stop:
                began_s = time.monotonic()
                await self._upload(client, self.bystander, a_tiny_track())
                self.bystander_s.append(time.monotonic() - began_s)
                await asyncio.sleep(0.25)

    async def _upload(self, client: httpx.AsyncClient, account: Account, content: bytes) -> None:
        try:
            answer = await client.post("/activities/import", files={"file": ("x", content)})
        except httpx.TransportError:
            account.statuses[0] += 1
            return
        account.statuses[answer.status_code] += 1
        if answer.status_code == 201:
            account.made += len(answer.json()["items"])

    def bystander_line(self) -> str:
        took_s = sorted(self.bystander_s)
        slowest = " ".join(f"{one:.2f}" for one in took_s[-5:])
        return f"bystander {dict(self.bystander.statuses)}, p50 {statistics.median(took_s):.2f} s, slowest {slowest} s"

    async def surplus(self) -> list[str]:
        """Accounts with more or fewer activities than their answers explain."""
        found = []
        for account in (*self.attackers, self.bystander):
            async with self._client(account) as client:
                total = (await client.get("/activities?limit=1")).json()["total"]
            if not account.made <= total <= account.made + 50 * account.left:
                found.append(f"{total} activities, of which {account.made} were acknowledged, {account.left} left")
        return found

    def _client(self, account: Account) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {account.token}"}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}/api/v1", headers=headers, timeout=180)


async def attack_on(instance: Instance, files: list[bytes], attackers: int) -> Attack:
    async def account() -> Account:
        return Account(await logged_in(instance.port, f"file{next(_numbers)}@example.org"))

    return Attack(instance.port, files, [await account() for _ in range(attackers)], await account())


def as_small_uploads(files: dict[str, Make]) -> list[bytes]:
    """The files, large ones packed, so that all of them fit into memory; the service unpacks them."""
    made = []
    for make in files.values():
        content = make()
        is_packed = content.startswith(b"\x1f\x8b")
        made.append(content if is_packed or len(content) < 1_000_000 else packed(content))
    return made


def memory_mib(pids: list[int]) -> float:
    """Memory of these processes together; shared pages count once."""
    total = 0
    for pid in pids:
        with suppress(OSError, IndexError):
            total += int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("\nPss:")[1].split()[0])
    return total / 1024


async def attacked(instance: Instance, files: list[bytes], attackers: int, seconds: float) -> list[str]:
    peace = await attack_on(instance, files, 0)
    await peace.run(10)
    print(f"in peace: {peace.bystander_line()}", flush=True)
    attack = await attack_on(instance, files, attackers)
    idle_mib = await asyncio.to_thread(memory_mib, instance.pids())
    running, most_mib = asyncio.ensure_future(attack.run(seconds)), 0.0
    while not running.done():
        most_mib = max(most_mib, await asyncio.to_thread(memory_mib, instance.pids()))
        await asyncio.wait({running}, timeout=0.5)
    await running
    statuses = sum((account.statuses for account in attack.attackers), Counter[int]())
    took_s = attack.bystander_s
    print(
        f"attackers: {dict(statuses)}, {sum(one.left for one in attack.attackers)} left; "
        f"{attack.bystander_line()}; "
        f"memory of all processes {idle_mib:.0f} to {most_mib:.0f} MiB",
        flush=True,
    )
    await asyncio.sleep(3)  # time for uploads that were answered with an outage to be committed nevertheless
    wrong = await attack.surplus()
    if max(took_s) > BYSTANDER_S or attack.bystander.statuses.keys() != {201}:
        wrong.append(f"bystander: {max(took_s):.2f} s, {dict(attack.bystander.statuses)}")
    return wrong


async def ended_in_the_midst(instance: Instance, files: list[bytes], attackers: int) -> float:
    """How long the service takes to end after a SIGTERM."""
    attack = await attack_on(instance, files, attackers)
    running = asyncio.ensure_future(attack.run(60))
    await asyncio.sleep(random.uniform(2, 4))
    began_s = time.monotonic()
    await asyncio.to_thread(instance.stop)
    took_s = time.monotonic() - began_s
    attack.stop = True
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return took_s


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--attackers", type=int, default=6)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--ends", type=int, default=5)
    options.add_argument("--size", type=int, default=MOST_BYTES, help="of the largest files")
    given = options.parse_args()
    files = hostile_files(given.size)
    alone = {name: [make] for name, make in files.items()} | {"cut at every 1 %": [*cut_files().values()]}
    wrong: list[str] = []
    for name, makes in alone.items():
        reading = asyncio.run(read_alone(name, *makes))
        print(reading.row(), flush=True)
        wrong += reading.wrong
    uploads = as_small_uploads(files)
    with engines() as urls:
        with serving(urls, **WITHOUT_LIMITS) as instance:
            wrong += asyncio.run(attacked(instance, uploads, given.attackers, given.seconds))
        for _ in range(given.ends):
            with serving(urls, **WITHOUT_LIMITS) as instance:
                took_s = asyncio.run(ended_in_the_midst(instance, uploads, given.attackers))
            print(f"ended within {took_s:.2f} s", flush=True)
            if took_s > END_S:
                wrong.append(f"ended after {took_s:.1f} s")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
