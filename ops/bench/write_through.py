"""Compares write-through on create with cache-aside: the cost for the write, and the gain for the read after it.

    python -m ops.bench.write_through [--rounds 40]

Write-through caches a new activity before the create is answered. Cache-aside leaves that to the first read. Both run
in this process, on the same use cases and engines, without HTTP: in a round each creates 48 activities, eight at a
time, and then reads none, half or all of them, once. The hit ratio is that of these first reads. CPU is in
microseconds, of this process and of the engines (PostgreSQL and the cache's Valkey); "in all" adds both, for a create
and the reads after it. The ratio, write-through to cache-aside, is the median over the rounds of CPU in all; in
brackets are the quartiles.
"""

import argparse
import asyncio
import itertools
import os
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from ops.bench.figures import percentile_ms, ratio, table
from ops.local.service import engines, environment, process_cpu_s, with_children

from fitness.domain.model.activities import ActivityType, NewActivity
from fitness.domain.model.users import Caller, Registration
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.caching.reads import CachedReads, Origin
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.lifecycle import lifespan
from fitness.entrypoints.wiring.stores import settings_from, with_engines
from fitness.ports.cache import CacheKey, Miss

ROUNDS = 40
CREATES = 48
AT_A_TIME = 8
USERS = 20
READ_AFTER = (0.0, 0.5, 1.0)
"""The probability that a create is followed by a read."""

WRITE_THROUGH, CACHE_ASIDE = "write-through", "cache-aside"
COLUMNS = (
    "",
    "CPU a create",
    "engines'",
    "create p50 ms",
    "p99 ms",
    "first reads that hit",
    "CPU a read",
    "read p50 ms",
    "p99 ms",
    "CPU in all",
    "ratio",
)

R = TypeVar("R")


class CacheAside(CachedReads):
    """Nothing is cached before it is read."""

    async def begin(self, key: CacheKey[Any]) -> Miss | None:
        return None


def both(container: Container) -> dict[str, ActivityService]:
    """The service with write-through, and the same with cache-aside."""
    through = container.activities()
    aside = CacheAside(container.cache(), container.lease(), container.read_counts())
    return {WRITE_THROUGH: through, CACHE_ASIDE: replace(through, cached=aside)}


@dataclass(slots=True)
class Part:
    """The costs of creates or of reads."""

    cpu_us: list[float] = field(default_factory=list)
    """CPU of this process in each turn, for all its creates or reads together."""
    engines_us: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)

    async def measured(self, operations: Sequence[Callable[[], Awaitable[R]]]) -> list[R]:
        """Measure the operations; their results, in their order."""
        engines_s, own_s = engines_cpu_s(), time.process_time()
        left = iter(list(enumerate(operations)))
        found: dict[int, R] = {}

        async def share() -> None:
            for number, operation in left:
                began_s = time.perf_counter()
                found[number] = await operation()
                self.latencies_s.append(time.perf_counter() - began_s)

        await asyncio.gather(*(share() for _ in range(AT_A_TIME)))
        self.cpu_us.append((time.process_time() - own_s) * 1e6)
        self.engines_us.append(sum(now_s - engines_s.get(pid, 0) for pid, now_s in engines_cpu_s().items()) * 1e6)
        return [found[number] for number in range(len(operations))]


def engines_cpu_s() -> dict[int, float]:
    """The CPU time that each process of the engines has used so far; they are children of this process."""
    found: dict[int, float] = {}
    for pid in with_children(os.getpid())[1:]:
        with suppress(OSError):  # it has ended meanwhile
            found[pid] = process_cpu_s(pid)
    return found


@dataclass(slots=True)
class Mix:
    """The costs of one way to write, where the share `read_after` of the creates is read."""

    read_after: float
    creates: Part = field(default_factory=Part)
    reads: Part = field(default_factory=Part)
    origins: list[Origin] = field(default_factory=list)

    async def turn(self, service: ActivityService, callers: Sequence[Caller]) -> None:
        by = [random.choice(callers) for _ in range(CREATES)]
        created = await self.creates.measured([partial(service.create, an_activity(), by=one) for one in by])
        own = list(zip((one.activity.id for one in created), by, strict=True))
        read = random.sample(own, round(len(own) * self.read_after))
        copies = await self.reads.measured([partial(service.get, activity, by=one) for activity, one in read])
        self.origins += [copy.origin for copy in copies]

    @property
    def in_all_us(self) -> list[float]:
        """CPU of this process and the engines for a create and its reads, in each turn."""
        parts = self.creates.cpu_us, self.creates.engines_us, self.reads.cpu_us, self.reads.engines_us
        return [sum(costs) / CREATES for costs in zip(*parts, strict=True)]

    def row(self, name: str, aside: "Mix") -> tuple[str, ...]:
        reads = round(CREATES * self.read_after)
        cells = [
            f"{name}, {self.read_after:.0%} read",
            f"{statistics.median(self.creates.cpu_us) / CREATES:.0f}",
            f"{statistics.median(self.creates.engines_us) / CREATES:.0f}",
            f"{percentile_ms(self.creates.latencies_s, 50):.2f}",
            f"{percentile_ms(self.creates.latencies_s, 99):.2f}",
        ]
        if reads:
            cells += [
                f"{self.origins.count(Origin.HIT) / len(self.origins):.1%}",
                f"{statistics.median(self.reads.cpu_us) / reads:.0f}",
                f"{percentile_ms(self.reads.latencies_s, 50):.2f}",
                f"{percentile_ms(self.reads.latencies_s, 99):.2f}",
            ]
        else:
            cells += ["-"] * 4
        last = "" if self is aside else ratio(self.in_all_us, aside.in_all_us)
        return (*cells, f"{statistics.median(self.in_all_us):.0f}", last)


Mixes = dict[tuple[float, str], Mix]
"""The mixes, by the share of creates that is read, and by the way to write."""

_numbers = itertools.count()


def an_activity() -> NewActivity:
    number = next(_numbers)
    return NewActivity(
        activity_type=ActivityType.RUN,
        activity_date=datetime(2025, 7, 1 + number % 28, 6, 30, tzinfo=UTC),
        duration_minutes=42.5,
        title=f"Morning run {number}",
        distance_km=9.1,
        notes=random.randbytes(50).hex(),
        tags=("lake", "tempo"),
    )


async def measured(settings: CompleteSettings, rounds: int) -> Mixes:
    container = Container(settings=settings)
    async with lifespan(container, background=True):
        callers = [await account(container, number) for number in range(USERS)]
        services = both(container)
        mixes = fresh()
        for number in range(rounds + 1):
            if number == 1:  # the first round warms up
                mixes = fresh()
            await round_of(mixes, services, callers, backwards=bool(number % 2))
            print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return mixes


def fresh() -> Mixes:
    return {(share, name): Mix(share) for share in READ_AFTER for name in (WRITE_THROUGH, CACHE_ASIDE)}


async def round_of(
    mixes: Mixes, services: dict[str, ActivityService], callers: Sequence[Caller], *, backwards: bool
) -> None:
    """One round of all mixes; `backwards` alternates, so that neither way always comes second."""
    for share, name in list(mixes)[:: -1 if backwards else 1]:
        await mixes[share, name].turn(services[name], callers)


async def account(container: Container, number: int) -> Caller:
    user = await container.accounts().register(
        Registration(email=f"bench{number}@example.org", password="correct horse")
    )
    return Caller(user.id, "bench")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    given = options.parse_args()
    with engines() as urls, with_engines(settings_from(environment(urls))) as settings:
        mixes = asyncio.run(measured(settings, given.rounds))
    rows = [mix.row(name, mixes[share, CACHE_ASIDE]) for (share, name), mix in mixes.items()]
    print(table(COLUMNS, rows))


if __name__ == "__main__":
    main()
