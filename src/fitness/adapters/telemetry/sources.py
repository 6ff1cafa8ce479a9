"""The sources of the instruments' values: wrappers and stores that keep counts, as Protocols."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fitness.ports.jobs import JobQueuePort
from fitness.ports.outbox import OutboxPort
from fitness.ports.upkeep import Overdue

Labels = tuple[str, ...]
Counts = Counter[Labels]
"""Counts by the values of a counter's labels. Plain numbers: recording through OpenTelemetry costs more than most of
the counted work."""


class CountedCache(Protocol):
    @property
    def errors(self) -> Counts:
        """Errors by kind of copy."""


class CountedReads(Protocol):
    """Counts by kind of copy."""

    @property
    def hits(self) -> Counts: ...

    @property
    def misses(self) -> Counts: ...

    @property
    def bypasses(self) -> Counts: ...

    @property
    def internal(self) -> Counts:
        """The service's own reads, by kind and result."""


class CountedState(Protocol):
    @property
    def closings(self) -> Counts:
        """Times that the cache was closed, by reason."""


class CountedLimiter(Protocol):
    @property
    def decisions(self) -> Counts:
        """Decisions by policy and outcome."""


class CacheStore(Protocol):
    @property
    def poisoned(self) -> int:
        """Copies that could not be decoded."""

    async def sizes(self) -> Mapping[str, int]:
        """`bytes` and `keys` in the store, and keys `evicted` so far; unknown ones are missing.

        Raises CacheUnavailable.
        """


class CacheLease(Protocol):
    @property
    def valid(self) -> bool: ...

    @property
    def closed(self) -> bool: ...

    @property
    def usable(self) -> bool:
        """Whether this process reads from the cache."""


class Pool(Protocol):
    def usage(self) -> Mapping[str, int]:
        """Connections `used` and `idle`, and requests `waiting` for one; empty where there is no pool."""


class Upkeep(Protocol):
    async def overdue(self) -> Overdue:
        """Activities and accounts that should have been deleted for good by now. Raises DatabaseUnavailable."""


@dataclass(frozen=True, slots=True)
class MetricSources:
    """Every source is read at each scrape, or every few seconds if reading it asks a store."""

    cache: CountedCache
    reads: CountedReads
    cache_kinds: Sequence[str]
    cache_store: CacheStore
    lease: CacheLease
    cache_state: CountedState
    limiter: CountedLimiter
    outbox: OutboxPort
    pool: Pool
    jobs: JobQueuePort
    upkeep: Upkeep


class Readings:
    """The counts of this process, and its last readings of the stores."""

    def __init__(self) -> None:
        self.requests: Counts = Counter()
        self.activities: Counts = Counter()
        self.users: Counts = Counter()
        self.changes: Counts = Counter()
        self.connected: Counts = Counter()
        self.photos: Counts = Counter()
        self.cache_sizes: Mapping[str, int] = {}
        self.outbox: Mapping[str, float] = {}
        self.jobs: Counts = Counter()
        self.waiting_jobs: Mapping[Labels, float] = {}
        self.oldest_jobs_s: Mapping[Labels, float] = {}
        self.overdue_s: Mapping[Labels, float] = {}
        self.lag_s = 0.0

    def cache_size(self, what: str) -> Mapping[Labels, float]:
        return {(): self.cache_sizes[what]} if what in self.cache_sizes else {}

    def backlog(self, what: str) -> Mapping[Labels, float]:
        return {(): self.outbox[what]} if what in self.outbox else {}

    def take_lag(self) -> Mapping[Labels, float]:
        """The longest lag of the event loop since the last call."""
        lag_s, self.lag_s = self.lag_s, 0.0
        return {(): lag_s}
