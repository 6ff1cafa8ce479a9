"""What readers got from the cache, counted."""

from collections import Counter

from fitness.ports.cache import Purpose

INTERNAL_KINDS = {"tier"}
"""Read for every request by the service itself: in a hit ratio they would drown what readers get."""


class ReadCounts:
    """By kind of copy. What the service reads for itself stands apart, by kind or `read_back`, and result."""

    def __init__(self) -> None:
        self.hits: Counter[tuple[str, ...]] = Counter()
        self.misses: Counter[tuple[str, ...]] = Counter()
        self.bypasses: Counter[tuple[str, ...]] = Counter()
        self.internal: Counter[tuple[str, ...]] = Counter()
        self._counts = {"HIT": self.hits, "MISS": self.misses, "BYPASS": self.bypasses}

    def count(self, kind: str, origin: str, purpose: Purpose) -> None:
        if purpose is Purpose.READ_BACK:
            self.internal["read_back", origin.lower()] += 1
        elif kind in INTERNAL_KINDS:
            self.internal[kind, origin.lower()] += 1
        else:
            self._counts[origin][(kind,)] += 1
