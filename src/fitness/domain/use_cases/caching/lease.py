"""Whether this process may read from the cache."""

FAILURES_ALLOWED = 5
"""So many reads in a row may fail before the cache counts as down; one failed invalidation disables it at once."""


class Lease:
    """One process's permission to read from the cache. It starts disabled; `OutboxRelay.relay` enables it."""

    def __init__(self) -> None:
        self._usable = False
        self._failures = 0
        self._disablings = 0

    @property
    def usable(self) -> bool:
        return self._usable

    @property
    def disablings(self) -> int:
        """How often the cache was disabled so far; `enable` compares it with an earlier value."""
        return self._disablings

    def answered(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        """A read did not get its answer."""
        self._failures += 1
        if self._failures >= FAILURES_ALLOWED:
            self.disable()

    def disable(self) -> None:
        self._usable = False
        self._disablings += 1

    def enable(self, *, unless_disabled_since: int) -> None:
        """Only if nobody disabled the cache since `disablings` had that value: a failure during the recovery counts."""
        self._usable = unless_disabled_since == self._disablings
