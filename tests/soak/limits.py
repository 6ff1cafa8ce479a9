"""Whether many processes that ask at the same time are ever admitted once too often.

    python -m tests.soak.limits [--runs 20]

In each run 8 processes, with 25 requests under way each, ask 10 000 times in all for one account; the runs alternate
between a sliding window and a token bucket. Exits with 1 after one admission too many, or if fewer than the limit were
admitted.
"""

import argparse
import asyncio
import multiprocessing
import random
import sys
import time
from itertools import repeat

from ops.local.service import engines

from fitness.adapters.redis.client import line_to
from fitness.adapters.redis.rate_limits import RedisRateLimiter
from fitness.domain.model.rate_limits import SECOND_US, Algorithm, Charge, Limit
from fitness.ports.outages import LimiterUnavailable

PROCESSES = 8
AT_ONCE = 25
REQUESTS = 10_000
PER_S = 3_600

Admitted = tuple[int, int, float, float]
"""How many requests were admitted, how many were answered, and when they began and ended."""


async def ask(url: str, charge: Charge, times: int) -> Admitted:
    line = line_to(url)
    limiter = RedisRateLimiter(line)
    counts = [0, 0]

    async def one_after_the_other() -> None:
        for _ in range(times // AT_ONCE):
            try:
                decision = await limiter.acquire([charge])
                counts[0] += decision.allowed
                counts[1] += 1
            except LimiterUnavailable:  # the deadline was missed on a busy machine; the request may have been charged
                continue

    started_s = time.time()
    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    await line.aclose()
    return counts[0], counts[1], started_s, time.time()


def process(url: str, charge: Charge, times: int) -> Admitted:
    return asyncio.run(ask(url, charge, times))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=20)
    given = options.parse_args()
    wrong = answered = 0
    with engines() as urls, multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        for run in range(given.runs):
            algorithm = [*Algorithm][run % 2]
            limit = Limit(random.randrange(100, 3_000), PER_S, algorithm)
            charge = Charge("soak", f"address:{run}", limit)
            outcomes = pool.starmap(process, repeat((urls.redis_url, charge, REQUESTS // PROCESSES), PROCESSES))
            admitted, asked = sum(one[0] for one in outcomes), sum(one[1] for one in outcomes)
            span_us = round((max(one[3] for one in outcomes) - min(one[2] for one in outcomes)) * SECOND_US)
            back = span_us // limit.interval_us if algorithm is Algorithm.TOKEN_BUCKET else 0
            too_few = asked == REQUESTS and admitted < limit.requests
            wrong += admitted > limit.requests + back or too_few
            answered += asked
            print(
                f"\rrun {run + 1}: {algorithm}, {admitted} of {asked} admitted, limit {limit.requests} + {back}   ",
                end="",
                file=sys.stderr,
                flush=True,
            )
    print(f"\r{given.runs} runs, {PROCESSES} processes, {answered} requests answered; runs with a wrong count: {wrong}")
    if wrong or answered < given.runs * REQUESTS * 0.9:
        sys.exit(1)


if __name__ == "__main__":
    main()
