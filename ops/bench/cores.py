"""Which core does what: one is the servers', the others are for the engines and the load."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ENOUGH_FOR_TWO = 4


@dataclass(frozen=True, slots=True)
class Cores:
    one: frozenset[int]
    """For a server of one worker."""
    two: frozenset[int] | None
    """For a server of two; None where there are fewer than ENOUGH_FOR_TWO cores."""
    others: frozenset[int]
    """For all else; the same as `one` where the machine has one core only."""


def divided(allowed: frozenset[int]) -> Cores:
    last = sorted(allowed)
    if len(last) >= ENOUGH_FOR_TWO:
        return Cores(frozenset(last[-1:]), frozenset(last[-2:]), frozenset(last[:-2]))
    return Cores(frozenset(last[-1:]), None, frozenset(last[:-1] or last))


def pin(pids: list[int], cores: frozenset[int]) -> None:
    """Every thread of the processes. A thread that starts later runs where the one does that started it."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(int(thread.name), cores)
