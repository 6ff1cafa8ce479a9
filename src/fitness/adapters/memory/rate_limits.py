"""The rate limiter in a dictionary, by the model's own rules."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from fitness.domain.model.judging import State, judged
from fitness.domain.model.rate_limits import SECOND_US, Charge, Decision
from fitness.ports.reply import Reply

MOST_ACCOUNTS = 100_000


class InMemoryRateLimiter:
    """For one process. Keeps MOST_ACCOUNTS states, one for each policy and subject; the oldest are forgotten first."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._states: OrderedDict[tuple[str, str], State] = OrderedDict()

    def acquire_soon(self, charges: Sequence[Charge]) -> Reply[Decision] | None:
        return Reply.of(self._acquired(charges))

    async def acquire(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        return self._acquired(charges, cost=cost, dry_run=dry_run)

    def _acquired(self, charges: Sequence[Charge], *, cost: int = 1, dry_run: bool = False) -> Decision:
        names = [(charge.policy, charge.subject) for charge in charges]
        states = [self._states.get(name, ()) for name in names]
        now_us = round(self._monotonic_s() * SECOND_US)
        decision, after = judged(charges, states, now_us=now_us, cost=cost, dry_run=dry_run)
        for name, state in zip(names, after, strict=True):
            if state:
                self._states[name] = state
                self._states.move_to_end(name)
        while len(self._states) > MOST_ACCOUNTS:
            self._states.popitem(last=False)
        return decision
