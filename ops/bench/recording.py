"""Measures what metrics cost a cached GET: the same service with metrics and with OTEL_SDK_DISABLED, in turn.

    python -m ops.bench.recording [--rounds 10]

It compares the CPU seconds of the worker processes for the same number of requests over eight connections. The ratio is
that of the medians over interleaved rounds.
"""

import argparse
import asyncio
import os
import statistics
import sys
from contextlib import ExitStack

from ops.local.client import Client, logged_in
from ops.local.service import engines, serving

CLIENTS = 8
REQUESTS = 4_000
BODY = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}


async def asked(port: int, token: str, path: str) -> None:
    async def share() -> None:
        client = Client(port, token)
        for _ in range(REQUESTS // CLIENTS):
            answer = await client.ask("GET", path)
            assert b"x-cache: hit" in answer.headers
        client.close()

    await asyncio.gather(*(share() for _ in range(CLIENTS)))


async def prepared(port: int) -> tuple[str, str]:
    token = await logged_in(port, "bench@example.org")
    client = Client(port, token)
    path = f"/activities/{(await client.ask('POST', '/activities', BODY)).json()['id']}"
    while True:
        if b"x-cache: hit" in (await client.ask("GET", path)).headers:
            client.close()
            return token, path
        await asyncio.sleep(0.05)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=10)
    given = options.parse_args()
    took_us: dict[str, list[float]] = {"on": [], "off": []}
    with ExitStack() as stack:
        urls = stack.enter_context(engines())
        instances = {}
        for state, disabled in (("on", "false"), ("off", "true")):
            os.environ["OTEL_SDK_DISABLED"] = disabled
            instances[state] = stack.enter_context(serving(urls, RATE_LIMIT_SCALE="0"))
        ready = {state: asyncio.run(prepared(instance.port)) for state, instance in instances.items()}
        for number in range(given.rounds + 1):
            for state, instance in instances.items():
                before_s = instance.cpu_s()
                asyncio.run(asked(instance.port, *ready[state]))
                if number:  # the first round warms up
                    took_us[state].append((instance.cpu_s() - before_s) / REQUESTS * 1e6)
            print(f"\rround {number} of {given.rounds}", end="", file=sys.stderr, flush=True)
    on, off = (statistics.median(took_us[state]) for state in ("on", "off"))
    print(f"\rCPU of a cached GET: {on:.0f} us with metrics, {off:.0f} us without; ratio {on / off:.3f}")


if __name__ == "__main__":
    main()
