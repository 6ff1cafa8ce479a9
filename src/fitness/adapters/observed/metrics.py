"""This process's metrics: OpenTelemetry's instruments, read by its exporter for Prometheus."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

Labels = tuple[str, ...]
Counts = Counter[Labels]
"""By the values of a counter's labels. Plain numbers, since a recording costs more than most of what is counted."""

REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0)
QUERY_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.5)


Read = Callable[[], Mapping[Labels, float]]


class Metrics:
    """Instruments by name, without `_total` and the like: the exporter adds what Prometheus expects.

    OTEL_SDK_DISABLED=true, as OpenTelemetry has it, switches all of them off.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._rendering = threading.Lock()
        reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=self._registry)
        self._provider = MeterProvider([reader], shutdown_on_exit=False)
        self._meter = self._provider.get_meter("fitness")

    def counter(
        self, name: str, description: str, labels: Sequence[str] = (), *, counts: Counts, present: Iterable[Labels] = ()
    ) -> None:
        """Shows `counts`, and from the start a 0 for what is `present`."""
        for values in present:
            counts.setdefault(values, 0)
        self.total(name, description, counts.copy, *labels)

    def total(self, name: str, description: str, read: Read, *labels: str) -> None:
        """A counter that is kept elsewhere."""
        self._meter.create_observable_counter(name, [_observe(read, labels)], description=description)

    def gauge(self, name: str, description: str, read: Read, *labels: str) -> None:
        self._meter.create_observable_gauge(name, [_observe(read, labels)], description=description)

    def durations(self, name: str, description: str, buckets_s: Sequence[float]) -> Histogram:
        """In seconds, as the name then says."""
        return self._meter.create_histogram(
            name, unit="s", description=description, explicit_bucket_boundaries_advisory=[*buckets_s]
        )

    def render(self) -> bytes:
        """In Prometheus's text format; takes some milliseconds."""
        with self._rendering:  # the exporter hands over through a queue that two scrapes would share
            return generate_latest(self._registry)

    def close(self) -> None:
        self._provider.shutdown()


def _observe(read: Read, labels: Sequence[str]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(value, dict(zip(labels, values, strict=True))) for values, value in read().items()]
