"""Measures what a GET and a PATCH cost while Redis is well, refuses, hangs, or is known to be lost.

    python -m tests.soak.outage [--rounds 10]

One client sends one request at a time. In each round the same service goes through every state in turn. The extra time
of a read is its time above the median of reads that bypass the cache; that of a write is its time above the median of
writes while Redis is well. Exits with 1 if a median extra time exceeds DEADLINES_MS. That of the slowest request is
only printed, since it depends on the machine as much as on the service.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections import defaultdict

from ops.local.client import Answer, Client, logged_in
from ops.local.service import engines, serving

from tests.harness.servers import ValkeyServer, breakable_cache

ROUNDS = 10
ENOUGH = 50
FAILURES = 5
"""The first requests of an outage, which may each notice it by themselves; after them the service knows."""

WRITES = 10
DEADLINES_MS = {"hanging": 60.0, "refusing": 2.0, "first write": 1_300.0, "later writes": 5.0}
"""The most extra time of each state. `lost` is what other reads are compared with; LOST_MS bounds it against hits."""

LOST_MS = 2.0


class Bench:
    def __init__(self, port: int, token: str, valkey: ValkeyServer) -> None:
        self.client = Client(port, token)
        self.valkey = valkey
        self.path = ""
        self.took_ms: dict[str, list[float]] = defaultdict(list)

    async def round(self) -> None:
        await self.until("hit")
        await self.ask("well", ENOUGH, "hit")
        await self.write("writes", WRITES)
        await self.until("hit")
        self.valkey.freeze()
        await self.lose("hanging")
        self.valkey.thaw()
        await self.until("hit")
        self.valkey.kill()
        await self.lose("refusing")
        self.valkey.start()

    async def lose(self, state: str) -> None:
        await self.ask(state, FAILURES, "bypass")
        await self.ask("lost", ENOUGH, "bypass")
        await self.write("first write", 1)
        await self.write("later writes", WRITES)

    async def write(self, state: str, times: int) -> None:
        for number in range(times):
            started_s = time.perf_counter()
            answer = await self.client.ask("PATCH", self.path, {"title": f"{state} {number} {started_s}"})
            self.took_ms[state].append((time.perf_counter() - started_s) * 1000)
            assert answer.status == 200, answer.body

    async def ask(self, state: str, times: int, origin: str) -> None:
        for _ in range(times):
            started_s = time.perf_counter()
            answer = await self.client.ask("GET", self.path)
            took_ms = (time.perf_counter() - started_s) * 1000
            assert answer.status == 200
            if origin == "hit" and came_from(answer) == "miss":
                continue  # an invalidation from the outage was carried out just now
            self.took_ms[state].append(took_ms)
            assert came_from(answer) == origin, f"{state}: {came_from(answer)}"

    async def until(self, origin: str) -> None:
        while True:
            if came_from(await self.client.ask("GET", self.path)) == origin:
                return
            await asyncio.sleep(0.02)


def came_from(answer: Answer) -> str:
    return answer.headers.partition(b"x-cache: ")[2].partition(b"\r")[0].decode()


async def measured(port: int, valkey: ValkeyServer, rounds: int) -> dict[str, list[float]]:
    bench = Bench(port, await logged_in(port, "bench@example.org"), valkey)
    body = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}
    bench.path = f"/activities/{(await bench.client.ask('POST', '/activities', body)).json()['id']}"
    for number in range(rounds):
        await bench.round()
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    return bench.took_ms


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    given = options.parse_args()
    with engines() as urls, breakable_cache(urls) as (own, valkey), serving(own, RATE_LIMIT_SCALE="0") as instance:
        took_ms = asyncio.run(measured(instance.port, valkey, given.rounds))
    wrong = report(took_ms)
    if wrong:
        sys.exit("\n".join(wrong))


def report(took_ms: dict[str, list[float]]) -> list[str]:
    """Print the table; the states that took too long."""
    median_ms = {state: statistics.median(all_ms) for state, all_ms in took_ms.items()}
    wrong = []
    if median_ms["lost"] - median_ms["well"] > LOST_MS:
        wrong.append(f"a read past the cache costs {median_ms['lost'] - median_ms['well']:.1f} ms more than a hit")
    print(f"\r{'':14}{'requests':>10}{'median ms':>11}{'slowest ms':>12}{'extra ms':>10}{'at most':>9}")
    for state, all_ms in took_ms.items():
        without_ms = median_ms["writes" if "write" in state else "lost"]
        extra_ms = median_ms[state] - without_ms
        print(
            f"{state:14}{len(all_ms):>10}{median_ms[state]:>11.2f}{max(all_ms):>12.2f}{extra_ms:>10.2f}"
            f"{max(all_ms) - without_ms:>9.2f}"
        )
        if extra_ms > DEADLINES_MS.get(state, extra_ms):
            wrong.append(f"{state}: {extra_ms:.1f} ms extra, at most {DEADLINES_MS[state]:.0f}")
    return wrong


if __name__ == "__main__":
    main()
