"""Counters of processes that have ended: a command of the CLI is over long before the next scrape."""

import fcntl
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fitness.adapters.telemetry.sources import Labels
from fitness.adapters.telemetry.table import INSTRUMENTS

Counted = Mapping[str, Mapping[Labels, float]]
"""For each metric's name, the counts by the values of its labels."""

_log = logging.getLogger(__name__)


def leave_counts(folder: Path, counted: Counted) -> None:
    """Add `counted` to the counts of ended processes, for later scrapes. Does nothing if there is no `folder`."""
    if not counted or not folder.is_dir():
        return
    try:
        with _locked(folder):
            _write(folder, _sum(_read(folder), counted))
    except OSError as error:
        _log.warning("what this command counted will be missing from the metrics: %s", error)


def left_counts(folder: Path) -> str:
    """The counts of ended processes, in Prometheus's text format."""
    counted = _read(folder)
    lines = []
    for row in INSTRUMENTS:
        if row.name in counted:
            lines += [f"# HELP {row.name} {row.help}", f"# TYPE {row.name} {row.kind}"]
            for values, count in counted[row.name].items():
                labels = ",".join(f'{label}="{value}"' for label, value in zip(row.labels, values, strict=True))
                lines.append(f"{row.name}{{{labels}}} {count}" if labels else f"{row.name} {count}")
    return "".join(f"{line}\n" for line in lines)


def forget_counts(folder: Path) -> None:
    with _locked(folder):
        _file(folder).unlink(missing_ok=True)


def _sum(one: Counted, other: Counted) -> Counted:
    return {name: Counter(one.get(name, {})) + Counter(other.get(name, {})) for name in {*one, *other}}


def _read(folder: Path) -> Counted:
    try:
        kept = json.loads(_file(folder).read_text())
    except FileNotFoundError:
        return {}
    return {name: {tuple(labels): float(count) for labels, count in counts} for name, counts in kept.items()}


def _write(folder: Path, counted: Counted) -> None:
    """Replace the file in one step. Readers take no lock: they find the old file or the new one."""
    half = folder / "ended.json.half"
    half.write_text(json.dumps({name: [*counts.items()] for name, counts in counted.items()}))
    half.rename(_file(folder))


def _file(folder: Path) -> Path:
    return folder / "ended.json"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "ended.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
