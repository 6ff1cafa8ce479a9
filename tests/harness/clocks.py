"""A clock for tests that moves only when it is set."""

from fitness.domain.model.rate_limits import SECOND_US


class TurnedClock:
    """A monotonic clock that moves only by `turn`, or when `now_s` is set."""

    def __init__(self, now_s: float = 5_000.0) -> None:
        self._now_us = round(now_s * SECOND_US)

    @property
    def now_s(self) -> float:
        return self._now_us / SECOND_US

    @now_s.setter
    def now_s(self, now_s: float) -> None:
        self._now_us = round(now_s * SECOND_US)

    def monotonic_s(self) -> float:
        return self.now_s

    async def turn(self, by_us: int) -> None:
        self._now_us += by_us
