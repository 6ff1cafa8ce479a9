"""What this service measures: every metric with its labels, and who feeds it. The README's table is equal to it."""

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fitness import __version__
from fitness.adapters.observed.cache import CACHES, ObservedCache
from fitness.adapters.observed.metrics import QUERY_BUCKETS_S, REQUEST_BUCKETS_S, Counts, Labels, Metrics
from fitness.adapters.observed.rate_limits import ObservedRateLimiter
from fitness.domain.model.rate_limits import POLICIES
from fitness.ports.activities import Created
from fitness.ports.outages import Outage
from fitness.ports.outbox import OutboxPort

_log = logging.getLogger(__name__)

SAMPLE_S = 5.0
LAG_SAMPLE_S = 0.25

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS")
OTHER_METHOD = "OTHER"
UNMATCHED = "unmatched"

JOBS = ("purge_trash",)


class Pool(Protocol):
    def usage(self) -> Mapping[str, int]:
        """Connections `used` and `idle`, and requests `waiting` for one."""


class CacheStore(Protocol):
    poisoned: int

    async def sizes(self) -> Mapping[str, int]:
        """`bytes` and `keys` there are, and `evicted` ones so far. Raises CacheUnavailable."""


class CacheUse(Protocol):
    @property
    def usable(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Watched:
    """What is read at each scrape, or every SAMPLE_S where reading means asking a store."""

    cache: ObservedCache
    cache_store: CacheStore
    cached_reads: CacheUse
    limiter: ObservedRateLimiter
    outbox: OutboxPort
    pool: Pool


class Instruments:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._requests: Counts = Counter()
        self._created: Counts = Counter()
        self._registered: Counts = Counter()
        self._sizes: Mapping[str, int] = {}
        self._outbox: Mapping[str, float] = {}
        self._lag_s = 0.0
        self._request_durations = metrics.durations(
            "http_request_duration", "From a request's arrival to the end of its response.", REQUEST_BUCKETS_S
        )
        self._query_durations = metrics.durations(
            "db_query_duration", "What a query of PostgreSQL took, failed ones too.", QUERY_BUCKETS_S
        )

    def request(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Whatever became of it; `endpoint` is the route's template."""
        known = method if method in METHODS else OTHER_METHOD
        self._requests[known, endpoint, str(status)] += 1
        # What is no route takes no time worth telling apart.
        timed_method = OTHER_METHOD if endpoint == UNMATCHED else known
        self._request_durations.record(seconds, {"method": timed_method, "endpoint": endpoint})

    def query(self, seconds: float, labels: Mapping[str, str]) -> None:
        self._query_durations.record(seconds, labels)

    def activity_created(self, created: Created) -> None:
        self._created[()] += not created.replayed

    def activities_created(self, created: Iterable[object]) -> None:
        self._created[()] += len([*created])

    def user_registered(self, _: object) -> None:
        self._registered[()] += 1

    def declare(self, watched: Watched, expected_requests: Iterable[Labels]) -> None:
        """Everything there is to see, at 0 from the start."""
        metrics, cache = self._metrics, watched.cache
        metrics.counter(
            "http_requests",
            "Responses, of every status; 499 where the client had gone.",
            ("method", "endpoint", "status"),
            counts=self._requests,
            present=expected_requests,
        )
        caches = [(name,) for name in CACHES.values()]
        metrics.counter("cache_hits", "Copies found in the cache.", ("cache",), counts=cache.hits, present=caches)
        metrics.counter(
            "cache_misses", "Copies not found in the cache.", ("cache",), counts=cache.misses, present=caches
        )
        metrics.counter(
            "cache_errors", "Times the cache did not answer.", ("cache",), counts=cache.errors, present=caches
        )
        metrics.gauge(
            "cache_usable",
            "1 while this process reads from the cache.",
            lambda: {(): int(watched.cached_reads.usable)},
        )
        metrics.gauge("cache_memory_bytes", "Memory the cache's Redis uses.", lambda: self._size("bytes"))
        metrics.gauge("cache_keys", "Keys in the cache's Redis.", lambda: self._size("keys"))
        metrics.total("cache_evicted_keys", "Keys the cache's Redis evicted so far.", lambda: self._size("evicted"))
        metrics.total(
            "cache_poisoned_copies", "Copies removed since they were none.", lambda: {(): watched.cache_store.poisoned}
        )
        metrics.gauge(
            "cache_outbox_pending",
            "Changes whose cache invalidation is still pending.",
            lambda: self._backlog("pending"),
        )
        metrics.gauge("cache_outbox_oldest_seconds", "Age of the oldest of them.", lambda: self._backlog("oldest_s"))
        metrics.counter(
            "rate_limit_decisions",
            "Judgements under each policy.",
            ("policy", "outcome"),
            counts=watched.limiter.decisions,
            present=((one.name, outcome) for one in POLICIES for outcome in ("allowed", "denied", "unavailable")),
        )
        metrics.gauge(
            "db_pool_connections",
            "Connections to PostgreSQL.",
            lambda: {(state,): count for state, count in watched.pool.usage().items() if state != "waiting"},
            "state",
        )
        metrics.gauge(
            "db_pool_waiting", "Requests waiting for a connection.", lambda: {(): watched.pool.usage()["waiting"]}
        )
        metrics.gauge("event_loop_lag_seconds", "Longest lately that the event loop was late.", self._take_lag)
        metrics.counter("activities_created", "Activities recorded or imported.", counts=self._created, present=[()])
        metrics.counter("users_registered", "Accounts opened.", counts=self._registered, present=[()])
        metrics.counter("photos_uploaded", "Pictures uploaded.", counts=Counter(), present=[()])
        metrics.gauge("websocket_connections", "Open WebSockets.", lambda: {(): 0})
        metrics.counter(
            "background_jobs_processed",
            "Jobs done.",
            ("job", "outcome"),
            counts=Counter(),
            present=((job, outcome) for job in JOBS for outcome in ("succeeded", "failed")),
        )
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        metrics.gauge("build_info", "1; what runs here.", lambda: {(__version__, python): 1}, "version", "python")

    async def sample(self, watched: Watched) -> None:
        """For as long as it is let: keep what cannot be read at once when Prometheus asks. What is out of reach is not
        shown.
        """
        loop, next_s = asyncio.get_running_loop(), 0.0
        while True:
            began_s = loop.time()
            if began_s >= next_s:
                try:
                    await self._look(watched)
                except Exception:  # noqa: BLE001 - the sampling has to go on
                    _log.exception("sampling failed; the next one tries again")
                next_s = began_s + SAMPLE_S
            due_s = loop.time() + LAG_SAMPLE_S
            await asyncio.sleep(LAG_SAMPLE_S)
            self._lag_s = max(self._lag_s, loop.time() - due_s)

    async def _look(self, watched: Watched) -> None:
        try:
            self._sizes = await watched.cache_store.sizes()
        except Outage:
            self._sizes = {}
        try:
            backlog = await watched.outbox.backlog()
            self._outbox = {"pending": backlog.pending, "oldest_s": backlog.oldest_s}
        except Outage:
            self._outbox = {}

    def _size(self, what: str) -> Mapping[Labels, float]:
        return {(): self._sizes[what]} if what in self._sizes else {}

    def _backlog(self, what: str) -> Mapping[Labels, float]:
        return {(): self._outbox[what]} if what in self._outbox else {}

    def _take_lag(self) -> Mapping[Labels, float]:
        lag_s, self._lag_s = self._lag_s, 0.0
        return {(): lag_s}
