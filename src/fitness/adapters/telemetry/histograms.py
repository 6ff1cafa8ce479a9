"""Histograms as plain numbers: a duration is added to its cell, and a scrape reads the cells."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from fitness.adapters.telemetry.sources import Labels

Cell = list[float]


class Histogram(Collector):
    """Durations in seconds, in one cell for each combination of label values.

    A cell holds the number of durations in each bucket, of which the last has no bound, and then their sum. Recording
    through OpenTelemetry costs a request ten times as much, and OpenTelemetry has no histogram that is read at scrape.
    """

    def __init__(self, name: str, description: str, labels: Sequence[str], buckets_s: Sequence[float]) -> None:
        self._name = name
        self._description = description
        self._labels = tuple(labels)
        self._buckets_s = tuple(buckets_s)
        self._bounds = (*map(str, self._buckets_s), "+Inf")
        self._cells: dict[Labels, Cell] = {}

    def cell(self, labels: Labels) -> Cell:
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = [0.0] * (len(self._buckets_s) + 2)
        return cell

    def record(self, seconds: float, cell: Cell) -> None:
        cell[bisect_left(self._buckets_s, seconds)] += 1
        cell[-1] += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._description, labels=self._labels)
        # A scrape runs on another thread than the recording, which may add cells meanwhile.
        for labels, cell in [*self._cells.items()]:
            *counts, total_s = [*cell]
            buckets = [*zip(self._bounds, accumulate(counts), strict=True)]
            family.add_metric(labels, buckets, total_s)
        yield family
