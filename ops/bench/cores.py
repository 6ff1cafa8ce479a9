"""Assigns cores: one to the servers, the others to the engines and the load."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ENOUGH_FOR_TWO = 4


@dataclass(frozen=True, slots=True)
class Cores:
    one: frozenset[int]
    """The core of a server with one worker."""
    two: frozenset[int] | None
    """The cores of a server with two workers; None where there are fewer than ENOUGH_FOR_TWO cores."""
    others: frozenset[int]
    """The cores for everything else; the same as `one` where the machine has only one core."""


def divided(allowed: frozenset[int]) -> Cores:
    last = sorted(allowed)
    if len(last) >= ENOUGH_FOR_TWO:
        return Cores(frozenset(last[-1:]), frozenset(last[-2:]), frozenset(last[:-2]))
    return Cores(frozenset(last[-1:]), None, frozenset(last[:-1] or last))


def pin(pids: list[int], cores: frozenset[int]) -> None:
    """Run every thread of the processes on these cores; a later thread inherits the cores of the one that starts it."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(int(thread.name), cores)
