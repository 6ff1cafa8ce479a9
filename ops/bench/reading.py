"""Measures what reading a recorded file costs: CPU seconds for each megabyte, and the memory of the reading process.

    python -m ops.bench.reading [--turns 5] [FILE…]

A file of 1 MB of each kind is read `--turns` times by the reader's own functions, and the lowest CPU time counts: on a
busy machine the others also measure other programs. Files of 25 MB are read once, in a process with the service's
bounds. Files named on the command line are measured instead of these. Exits with 1 if a bound is exceeded.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ops.bench.files import (
    fit_of_a_watch,
    fit_without_a_session,
    gpx_of_a_watch,
    gpx_without_blanks,
    of_size,
    tcx_of_a_watch,
)

from fitness.adapters.files.formats import read_recordings
from fitness.adapters.files.places import load
from fitness.adapters.files.reader import LONG, FileRecordingReader
from fitness.domain.model.recordings import MAX_RECORDING_BYTES, activities_of
from fitness.domain.model.refusals import Refusal
from fitness.foundation.parent_death import die_with_parent

NOW = datetime(2026, 11, 26, tzinfo=UTC)
MB = 1_000_000

KINDS: Mapping[str, tuple[Callable[[int], bytes], float | None]] = {
    "GPX of a watch": (gpx_of_a_watch, 0.06),
    "GPX without blanks": (gpx_without_blanks, None),
    "TCX of a watch": (tcx_of_a_watch, 0.04),
    "FIT of a watch": (fit_of_a_watch, 0.1),
    "FIT without a session": (fit_without_a_session, None),
}
"""Kinds of files, each with the most CPU seconds that a megabyte may take; None is no bound."""

LARGE_FIT_CPU_S = 3.0


def cpu_s(content: bytes, turns: int) -> float:
    """The lowest CPU time of `turns` readings."""
    took = []
    for _ in range(turns):
        began = time.process_time()
        with suppress(Refusal):
            activities_of(read_recordings(content), digest="0" * 64, home_timezone="UTC", now=NOW)
        took.append(time.process_time() - began)
    return min(took)


async def in_a_process(content: bytes) -> tuple[str, float, float]:
    """The outcome, and the CPU seconds and the peak MiB of the process that read the file."""
    with closing(FileRecordingReader(partial(die_with_parent, os.getpid()))) as reader:
        identity = await reader.identify(content)
        others = {*reader.pids()}
        reading = asyncio.ensure_future(reader.read(content, identity, home_timezone="UTC", now=NOW))
        used: dict[int, tuple[float, float]] = {}
        while not reading.done():
            used |= {pid: usage for pid in {*reader.pids()} - others if (usage := usage_of(pid)) is not None}
            await asyncio.wait({reading}, timeout=0.01)
        used |= {pid: usage for pid in used if (usage := usage_of(pid)) is not None}
        try:
            outcome = f"{len(reading.result().activities)} activities"
        except Refusal as refusal:
            outcome = f"{type(refusal).__name__}: {refusal}"
    return (
        outcome,
        max((cpu for cpu, _ in used.values()), default=0.0),
        max((mib for _, mib in used.values()), default=0.0),
    )


def usage_of(pid: int) -> tuple[float, float] | None:
    """CPU seconds and peak MiB of a process; None if it has ended."""
    with suppress(OSError, IndexError):
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        peak = int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
        return sum(map(int, ticks)) / 100, peak
    return None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("files", nargs="*", type=Path)
    given = options.parse_args()
    load()
    if given.files:
        for path in given.files:
            content = path.read_bytes()
            print(f"{path.name:34} {cpu_s(content, given.turns) / len(content) * MB:7.4f} s of CPU a MB", flush=True)
        return
    wrong = [*small_files(given.turns), *large_files()]
    if wrong:
        sys.exit("\n".join(wrong))


def small_files(turns: int) -> list[str]:
    """Those that exceeded their bound, a line each."""
    wrong = []
    for name, (make, most) in KINDS.items():
        content = of_size(make, MB)
        took = cpu_s(content, turns) / len(content) * MB
        print(f"{name:24} {took:7.4f} s of CPU a MB{'' if most is None else f', at most {most}'}", flush=True)
        if most is not None and took > most:
            wrong.append(f"{name}: {took:.4f} s of CPU a MB")
    return wrong


def large_files() -> list[str]:
    """Those that exceeded their bound, a line each."""
    wrong = []
    for name, (make, _) in KINDS.items():
        outcome, took, mib = asyncio.run(in_a_process(of_size(make, MAX_RECORDING_BYTES)))
        print(f"{name:24} of 25 MB: {took:5.2f} s of CPU, {mib:4.0f} MiB, {outcome}", flush=True)
        if mib * 1024**2 > LONG.memory_bytes or (make is fit_of_a_watch and took > LARGE_FIT_CPU_S):
            wrong.append(f"{name} of 25 MB: {took:.2f} s of CPU, {mib:.0f} MiB")
    return wrong


if __name__ == "__main__":
    main()
