"""The two algorithms of rate limits, as pure functions of what is stored and of the time."""

from collections.abc import Sequence
from dataclasses import dataclass

from fitness.domain.model.rate_limits import Algorithm, Balance, Charge, Decision, Limit

State = tuple[int, ...]
"""What is stored for a subject under a policy; () at first. For a token bucket: the time at which it will be full
again. For a sliding window: the times of the requests in it, ascending."""


@dataclass(frozen=True, slots=True)
class _Judgement:
    """The judgement of one policy on a request of some cost."""

    state: State
    """The state after the request, if it were admitted."""
    retry_us: int
    """Microseconds until the request fits; 0 if it fits now."""
    remaining: int
    reset_us: int


# adapters/redis/rate_limits.lua has `judged`, `_bucket` and `_window` a second time, on Redis's own clock: change both.
# RateLimiterContract tests both for the same promises, and another test compares them on random requests.


def judged(
    charges: Sequence[Charge], states: Sequence[State], *, now_us: int, cost: int = 1, dry_run: bool = False
) -> tuple[Decision, list[State]]:
    """The decision on a request of this cost, and every policy's state after it.

    If the clock was set back, nobody has to wait for that: stored times ahead of the clock count as now.
    """
    judge = [_bucket if charge.limit.algorithm is Algorithm.TOKEN_BUCKET else _window for charge in charges]
    subjects = [*zip(judge, charges, states, strict=True)]
    # Every policy judges before any is charged: a request that one of them refuses is charged to none.
    retries_us = [one(charge.limit, state, now_us, cost).retry_us for one, charge, state in subjects]
    charged = 0 if dry_run or any(retries_us) else cost
    after = [one(charge.limit, state, now_us, charged) for one, charge, state in subjects]
    balances = (
        Balance(charge.policy, charge.limit, one.remaining, one.reset_us, retry_us)
        for charge, one, retry_us in zip(charges, after, retries_us, strict=True)
    )
    return Decision(tuple(balances)), [one.state for one in after]


def _bucket(limit: Limit, state: State, now_us: int, cost: int) -> _Judgement:
    """The generic cell rate algorithm: each request moves the time at which the bucket is full by one interval."""
    interval_us = limit.interval_us
    full_us = limit.requests * interval_us
    # A time beyond a full bucket means that the clock was set back: uncapped, it would lock the subject out.
    kept = tuple(min(at_us, now_us + full_us) for at_us in state)
    after_us = max((now_us, *kept)) + cost * interval_us
    used_us = after_us - now_us
    return _Judgement(
        state=(after_us,) if cost else kept,
        retry_us=max(0, used_us - full_us),
        remaining=max(0, full_us - used_us) // interval_us,
        reset_us=used_us,
    )


def _window(limit: Limit, state: State, now_us: int, cost: int) -> _Judgement:
    """Each request counts until `per_us` after its time."""
    counted = [min(at_us, now_us) for at_us in state if min(at_us, now_us) > now_us - limit.per_us]
    too_many = len(counted) + cost - limit.requests
    # The request fits once the `too_many` oldest ones have left the window.
    last_to_leave_us = counted[too_many - 1] if cost and too_many > 0 else None
    after = (*counted, *[now_us] * cost)
    return _Judgement(
        state=after,
        retry_us=0 if last_to_leave_us is None else last_to_leave_us + limit.per_us - now_us,
        remaining=max(0, limit.requests - len(after)),
        reset_us=after[-1] + limit.per_us - now_us if after else 0,
    )
