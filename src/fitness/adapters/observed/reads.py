"""What readers got from the cache, counted."""

from collections import Counter

INTERNAL_KINDS = {"tier", "timezone", "calendar"}
"""Read for every request by the service itself: in a hit ratio they would drown what readers get."""


class ReadCounts:
    """By kind of copy; what the service reads for itself stands apart, by kind and result."""

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
