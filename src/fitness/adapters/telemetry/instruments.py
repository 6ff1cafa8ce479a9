"""Records the events of this process, and shows all metrics of the table."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from fitness.adapters.telemetry.histograms import Cell
from fitness.adapters.telemetry.metrics import Metrics
from fitness.adapters.telemetry.sources import Labels, MetricSources, Readings
from fitness.adapters.telemetry.table import (
    INSTRUMENTS,
    JOB_DURATION,
    LIVE_DELIVERY,
    QUERY_DURATION,
    REQUEST_DURATION,
    Kind,
)
from fitness.domain.model.changes import ChangeKind
from fitness.domain.model.jobs import Queue
from fitness.domain.model.rate_limits import POLICIES
from fitness.ports.activities import Created
from fitness.ports.cache import INTERNAL_KINDS
from fitness.ports.jobs import JobBacklog
from fitness.ports.outages import Outage

SAMPLE_S = 5.0
LAG_SAMPLE_S = 0.25

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS")
OTHER_METHOD = "OTHER"
UNMATCHED = "unmatched"

RESULTS = ("hit", "miss", "bypass")
JOB_OUTCOMES = ("succeeded", "failed", "unavailable", "interrupted")
OUTCOMES = ("allowed", "denied", "unavailable")

NO_JOBS = JobBacklog(0, 0.0)

_log = logging.getLogger(__name__)


class Instruments:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._own = Readings()
        self._seen: dict[tuple[str, str, int], tuple[Labels, Cell]] = {}
        durations = {
            row.name: metrics.durations(row.name, row.help, row.labels, row.source)
            for row in INSTRUMENTS
            if isinstance(row.source, tuple)
        }
        self._request_durations = durations[REQUEST_DURATION]
        self._query_durations = durations[QUERY_DURATION]
        self._tellings = durations[LIVE_DELIVERY]
        self._tellings.cell(())
        self._job_durations = durations[JOB_DURATION]

    def request(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """A response; `endpoint` is the route's template."""
        seen = self._seen.get((method, endpoint, status))
        if seen is None:
            seen = self._first(method, endpoint, status)
        labels, cell = seen
        self._own.requests[labels] += 1
        self._request_durations.record(seconds, cell)

    def query(self, seconds: float, name: str) -> None:
        self._query_durations.record(seconds, self._query_durations.cell((name,)))

    def job(self, task: str, outcome: str, seconds: float) -> None:
        self._own.jobs[task, outcome] += 1
        self._job_durations.record(seconds, self._job_durations.cell((task,)))

    def activity_created(self, created: Created) -> None:
        self._own.activities[()] += not created.replayed
        self._own.changes[(ChangeKind.CREATED,)] += not created.replayed

    def activities_created(self, created: Iterable[object]) -> None:
        count = len([*created])
        self._own.activities[()] += count
        self._own.changes[(ChangeKind.CREATED,)] += count

    def changed(self, kind: ChangeKind, result: object) -> None:
        """Count changes of this kind by the result of the repository's method: their number, a bool, or a value; None
        is no change."""
        self._own.changes[(kind,)] += result if isinstance(result, int) else result is not None

    def connected(self, via: str, more: int) -> None:
        """The live feed's connections via `websocket` or `events` are `more` than before, or fewer if negative."""
        self._own.connected[(via,)] += more

    def told(self, late_s: float) -> None:
        """A change was delivered to a follower of the live feed `late_s` after it was made."""
        self._tellings.record(late_s, self._tellings.cell(()))

    def activities_purged(self, ids: Sequence[int]) -> None:
        self._own.changes[(ChangeKind.PURGED,)] += len(ids)

    def user_registered(self, _: object) -> None:
        self._own.users[()] += 1

    def photo_uploaded(self, photo: object | None) -> None:
        self._own.photos[()] += photo is not None

    def declare(self, sources: MetricSources, expected_requests: Iterable[Labels], tasks: Iterable[str] = ()) -> None:
        """Show every metric of the table. Counters begin at 0 for every known combination of labels; `tasks` are the
        background jobs that this process carries out."""
        self._begin_at_zero(sources, expected_requests)
        for task in tasks:
            for outcome in JOB_OUTCOMES:
                self._own.jobs.setdefault((task, outcome), 0)
        for row in INSTRUMENTS:
            if not isinstance(row.source, tuple):
                show = self._metrics.counter if row.kind is Kind.COUNTER else self._metrics.gauge
                show(row.name, row.help, row.labels, partial(row.source, self._own, sources))

    def counted(self, sources: MetricSources) -> Mapping[str, Mapping[Labels, float]]:
        """The values of this process's own counters, by name; zeros are left out."""
        found: dict[str, Mapping[Labels, float]] = {}
        for row in INSTRUMENTS:
            if row.kind is Kind.COUNTER and not row.from_store and not isinstance(row.source, tuple):
                counts = {labels: value for labels, value in row.source(self._own, sources).items() if value}
                found |= {row.name: counts} if counts else {}
        return found

    def _first(self, method: str, endpoint: str, status: int) -> tuple[Labels, Cell]:
        """Labels and cell for such responses. A client may send any method: unknown methods are not remembered."""
        known = method if method in METHODS else OTHER_METHOD
        # Requests without a route take next to no time: one series for all methods is enough.
        timed_method = OTHER_METHOD if endpoint == UNMATCHED else known
        seen = (known, endpoint, str(status)), self._request_durations.cell((timed_method, endpoint))
        if method == known:
            self._seen[method, endpoint, status] = seen
        return seen

    async def sample(self, sources: MetricSources) -> None:
        """Until cancelled, read the stores every SAMPLE_S; a store that does not answer has no values until it does."""
        loop, next_s = asyncio.get_running_loop(), 0.0
        while True:
            began_s = loop.time()
            if began_s >= next_s:
                try:
                    await self._look(sources)
                except Exception:  # noqa: BLE001 - the sampling has to go on
                    _log.exception("a metrics sample failed; the next one tries again")
                next_s = began_s + SAMPLE_S
            due_s = loop.time() + LAG_SAMPLE_S
            await asyncio.sleep(LAG_SAMPLE_S)
            self._own.lag_s = max(self._own.lag_s, loop.time() - due_s)

    def _begin_at_zero(self, sources: MetricSources, expected_requests: Iterable[Labels]) -> None:
        kinds = [(kind,) for kind in sources.cache_kinds]
        for counts, known in (
            (self._own.requests, expected_requests),
            (self._own.activities, [()]),
            (self._own.users, [()]),
            (self._own.changes, [(kind,) for kind in ChangeKind]),
            (self._own.photos, [()]),
            (sources.reads.hits, kinds),
            (sources.reads.misses, kinds),
            (sources.reads.bypasses, kinds),
            (sources.reads.internal, [(kind, result) for kind in INTERNAL_KINDS for result in RESULTS]),
            (sources.cache.errors, [*kinds, *[(kind,) for kind in INTERNAL_KINDS], ("invalidation",)]),
            (sources.cache_state.closings, [(reason,) for reason in ("unconfirmed", "another_server")]),
            (sources.limiter.decisions, [(policy.name, outcome) for policy in POLICIES for outcome in OUTCOMES]),
        ):
            for labels in known:
                counts.setdefault(labels, 0)

    async def _look(self, sources: MetricSources) -> None:
        try:
            self._own.cache_sizes = await sources.cache_store.sizes()
        except Outage:
            self._own.cache_sizes = {}
        try:
            backlog = await sources.outbox.backlog()
            self._own.outbox = {"pending": backlog.pending, "oldest_s": backlog.oldest_s}
        except Outage:
            self._own.outbox = {}
        await self._look_at_jobs(sources)

    async def _look_at_jobs(self, sources: MetricSources) -> None:
        own = self._own
        try:
            backlog, overdue = await sources.jobs.backlog(), await sources.upkeep.overdue()
        except Outage:
            own.waiting_jobs = own.oldest_jobs_s = own.overdue_s = {}
            return
        known = {str(queue): backlog.get(queue, NO_JOBS) for queue in Queue}
        own.waiting_jobs = {(queue,): one.waiting for queue, one in known.items()}
        own.oldest_jobs_s = {(queue,): one.oldest_s for queue, one in known.items()}
        own.overdue_s = {("activities",): overdue.activities_s, ("accounts",): overdue.accounts_s}
