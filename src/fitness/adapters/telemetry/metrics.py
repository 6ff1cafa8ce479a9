"""This process's metrics: OpenTelemetry's instruments, read by its exporter for Prometheus, and our own histograms."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from fitness.adapters.telemetry.histograms import Histogram
from fitness.adapters.telemetry.sources import Labels

Read = Callable[[], Mapping[Labels, float]]


class Metrics:
    """Makes instruments, each by the name that Prometheus shows.

    OTEL_SDK_DISABLED=true, OpenTelemetry's own switch, turns all of them off.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._rendering = threading.Lock()
        reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=self._registry)
        self._provider = MeterProvider([reader], shutdown_on_exit=False)
        self._meter = self._provider.get_meter("fitness")

    # The exporter adds the suffixes `_total` and `_seconds` itself.

    def counter(self, name: str, description: str, labels: Sequence[str], read: Read) -> None:
        observe = [_observe(read, labels)]
        self._meter.create_observable_counter(name.removesuffix("_total"), observe, description=description)

    def gauge(self, name: str, description: str, labels: Sequence[str], read: Read) -> None:
        self._meter.create_observable_gauge(name, [_observe(read, labels)], description=description)

    def durations(self, name: str, description: str, labels: Sequence[str], buckets_s: Sequence[float]) -> Histogram:
        """A histogram in the registry of OpenTelemetry's exporter, so that a scrape shows both."""
        histogram = Histogram(name, description, labels, buckets_s)
        if os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true":
            self._registry.register(histogram)
        return histogram

    def render(self) -> bytes:
        """All metrics in Prometheus's text format; takes some milliseconds."""
        with self._rendering:  # two scrapes would share the queue through which the exporter passes its values
            return generate_latest(self._registry)

    def close(self) -> None:
        self._provider.shutdown()


def _observe(read: Read, labels: Sequence[str]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        values = dict(read())  # a scrape runs on another thread than the counting, which may add keys meanwhile
        return [Observation(value, dict(zip(labels, of, strict=True))) for of, value in values.items()]

    return observe
