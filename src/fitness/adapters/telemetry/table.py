"""Every metric: its name, kind, labels and help, and the source of its values. README's table lists the same."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from fitness import __version__
from fitness.adapters.telemetry.sources import Labels, MetricSources, Readings

REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0)
JOB_BUCKETS_S = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0)
QUERY_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.5)

DELIVERY_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0)

LIVE_DELIVERY = "live_delivery_duration_seconds"
REQUEST_DURATION = "http_request_duration_seconds"
QUERY_DURATION = "db_query_duration_seconds"
JOB_DURATION = "background_job_duration_seconds"

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

Source = Callable[[Readings, MetricSources], Mapping[Labels, float]]


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Instrument:
    name: str
    """The name that Prometheus shows."""
    kind: Kind
    help: str
    labels: tuple[str, ...]
    source: Source | tuple[float, ...]
    """A function that reads the values; for a histogram, the upper bounds of its buckets in seconds."""
    from_store: bool = False
    """True if a store counts it, not this process."""


COUNTER, GAUGE, HISTOGRAM = Kind

INSTRUMENTS = (
    Instrument(
        "http_requests_total",
        COUNTER,
        "Responses, of every status; 499 where the client had gone.",
        ("method", "endpoint", "status"),
        lambda own, _: own.requests,
    ),
    Instrument(
        REQUEST_DURATION,
        HISTOGRAM,
        "Time from a request's arrival to the end of its response.",
        ("method", "endpoint"),
        REQUEST_BUCKETS_S,
    ),
    Instrument("cache_hits_total", COUNTER, "Copies found in the cache.", ("cache",), lambda _, s: s.reads.hits),
    Instrument("cache_misses_total", COUNTER, "Copies not found in it.", ("cache",), lambda _, s: s.reads.misses),
    Instrument(
        "cache_bypasses_total",
        COUNTER,
        "Reads that went past the cache, since it was closed or did not answer.",
        ("cache",),
        lambda _, s: s.reads.bypasses,
    ),
    Instrument(
        "cache_internal_reads_total",
        COUNTER,
        "Reads by the service itself: tiers for the limits, time zones for new activities, calendars for statistics.",
        ("cache", "result"),
        lambda _, s: s.reads.internal,
    ),
    Instrument(
        "cache_lease_valid",
        GAUGE,
        "1 while this process knows the state of the cache.",
        (),
        lambda _, s: {(): int(s.lease.valid)},
    ),
    Instrument(
        "cache_closed", GAUGE, "1 while no process may read from the cache.", (), lambda _, s: {(): int(s.lease.closed)}
    ),
    Instrument(
        "cache_closings_total",
        COUNTER,
        "Times the cache was closed, by reason.",
        ("reason",),
        lambda _, s: s.cache_state.closings,
    ),
    Instrument(
        "cache_errors_total",
        COUNTER,
        "Times the cache did not answer, by kind of copy, or `invalidation`.",
        ("cache",),
        lambda _, s: s.cache.errors,
    ),
    Instrument(
        "cache_usable",
        GAUGE,
        "1 while this process reads from the cache.",
        (),
        lambda _, s: {(): int(s.lease.usable)},
    ),
    Instrument("cache_memory_bytes", GAUGE, "Memory of the cache's Redis.", (), lambda own, _: own.cache_size("bytes")),
    Instrument("cache_keys", GAUGE, "Keys in the cache's Redis.", (), lambda own, _: own.cache_size("keys")),
    Instrument(
        "cache_evicted_keys_total",
        COUNTER,
        "Keys that the cache's Redis evicted.",
        (),
        lambda own, _: own.cache_size("evicted"),
        from_store=True,
    ),
    Instrument(
        "cache_poisoned_copies_total",
        COUNTER,
        "Cached values deleted because they could not be decoded.",
        (),
        lambda _, s: {(): s.cache_store.poisoned},
    ),
    Instrument(
        "cache_outbox_pending", GAUGE, "Pending invalidations of the cache.", (), lambda own, _: own.backlog("pending")
    ),
    Instrument(
        "cache_outbox_oldest_seconds",
        GAUGE,
        "Age of the oldest pending invalidation.",
        (),
        lambda own, _: own.backlog("oldest_s"),
    ),
    Instrument(
        QUERY_DURATION, HISTOGRAM, "Time of a query of PostgreSQL, failed ones too.", ("query",), QUERY_BUCKETS_S
    ),
    Instrument(
        "db_pool_connections",
        GAUGE,
        "Connections to PostgreSQL.",
        ("state",),
        lambda _, s: {(state,): count for state, count in s.pool.usage().items() if state != "waiting"},
    ),
    Instrument(
        "db_pool_waiting",
        GAUGE,
        "Requests waiting for a connection.",
        (),
        lambda _, s: {(): usage["waiting"]} if (usage := s.pool.usage()) else {},
    ),
    Instrument(
        "rate_limit_decisions_total",
        COUNTER,
        "Decisions under each policy; `unavailable` where the limiter did not answer.",
        ("policy", "outcome"),
        lambda _, s: s.limiter.decisions,
    ),
    Instrument(
        "event_loop_lag_seconds",
        GAUGE,
        "Longest delay of the event loop since the last scrape.",
        (),
        lambda own, _: own.take_lag(),
    ),
    Instrument(
        "activities_created_total", COUNTER, "Activities recorded or imported.", (), lambda own, _: own.activities
    ),
    Instrument(
        "changes_written_total",
        COUNTER,
        "Changes of activities, each an entry of the change log.",
        ("kind",),
        lambda own, _: own.changes,
    ),
    Instrument(
        "websocket_connections",
        GAUGE,
        "WebSockets of the live feed.",
        (),
        lambda own, _: {(): own.connected[("websocket",)]},
    ),
    Instrument(
        "event_streams",
        GAUGE,
        "Streams of server-sent events of the live feed.",
        (),
        lambda own, _: {(): own.connected[("events",)]},
    ),
    Instrument(
        LIVE_DELIVERY,
        HISTOGRAM,
        "Time from a change to its being given to somebody who follows the live feed.",
        (),
        DELIVERY_BUCKETS_S,
    ),
    Instrument("users_registered_total", COUNTER, "Accounts opened.", (), lambda own, _: own.users),
    Instrument("photos_uploaded_total", COUNTER, "Photos added to activities.", (), lambda own, _: own.photos),
    Instrument(
        "background_jobs_processed_total",
        COUNTER,
        "Runs of background jobs, by outcome; one that failed is tried again later.",
        ("task", "outcome"),
        lambda own, _: own.jobs,
    ),
    Instrument(JOB_DURATION, HISTOGRAM, "Time of a run of a background job.", ("task",), JOB_BUCKETS_S),
    Instrument(
        "background_jobs_waiting",
        GAUGE,
        "Background jobs that are due and not begun.",
        ("queue",),
        lambda own, _: own.waiting_jobs,
    ),
    Instrument(
        "background_jobs_oldest_seconds",
        GAUGE,
        "For how long the background job that waits longest has been due.",
        ("queue",),
        lambda own, _: own.oldest_jobs_s,
    ),
    Instrument(
        "purge_overdue_seconds",
        GAUGE,
        "For how long something should have been deleted for good, that is there still.",
        ("what",),
        lambda own, _: own.overdue_s,
    ),
    Instrument(
        "build_info",
        GAUGE,
        "1; the version of the service and of Python.",
        ("version", "python"),
        lambda *_: {(__version__, PYTHON): 1},
    ),
)
