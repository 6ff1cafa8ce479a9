"""Counts of cache reads, by result: hit, miss or bypass."""

from collections import Counter

from fitness.ports.cache import INTERNAL_KINDS


class ReadCounts:
    """Counts by kind of copy; the service's own reads are counted apart, by kind and result."""

    def __init__(self) -> None:
        self.hits: Counter[tuple[str, ...]] = Counter()
        self.misses: Counter[tuple[str, ...]] = Counter()
        self.bypasses: Counter[tuple[str, ...]] = Counter()
        self.internal: Counter[tuple[str, ...]] = Counter()
        self._seen: dict[tuple[str, str], tuple[Counter[tuple[str, ...]], tuple[str, ...]]] = {}

    def count(self, kind: str, origin: str) -> None:
        counts, labels = self._seen.get((kind, origin)) or self._first(kind, origin)
        counts[labels] += 1

    def _first(self, kind: str, origin: str) -> tuple[Counter[tuple[str, ...]], tuple[str, ...]]:
        counts = {"HIT": self.hits, "MISS": self.misses, "BYPASS": self.bypasses}[origin]
        seen = (self.internal, (kind, origin.lower())) if kind in INTERNAL_KINDS else (counts, (kind,))
        self._seen[kind, origin] = seen
        return seen
