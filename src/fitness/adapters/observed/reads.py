"""What readers got from the cache, counted."""

from collections import Counter

INTERNAL_KINDS = {"tier", "timezone"}
"""Read for every request by the service itself: in a hit ratio they would drown what readers get."""


class ReadCounts:
    """By kind of copy; what the service reads for itself stands apart, by kind and result."""

    def __init__(self) -> None:
        self.hits: Counter[tuple[str, ...]] = Counter()
        self.misses: Counter[tuple[str, ...]] = Counter()
        self.bypasses: Counter[tuple[str, ...]] = Counter()
        self.internal: Counter[tuple[str, ...]] = Counter()
        self._counts = {"HIT": self.hits, "MISS": self.misses, "BYPASS": self.bypasses}

    def count(self, kind: str, origin: str) -> None:
        if kind in INTERNAL_KINDS:
            self.internal[kind, origin.lower()] += 1
        else:
            self._counts[origin][(kind,)] += 1
