"""What a GET costs while Redis is well, refuses, hangs, or is known to be lost.

    python -m tests.soak.outage [--rounds 10]

One client, one request at a time. In each round the same service goes through every state in turn; the extra is what
the median and the slowest request cost above the median of one that goes round the cache (a read from PostgreSQL).
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
"""So many requests may find out for themselves; after that the service knows."""


class Bench:
    def __init__(self, port: int, token: str, valkey: ValkeyServer) -> None:
        self.client = Client(port, token)
        self.valkey = valkey
        self.path = ""
        self.took_ms: dict[str, list[float]] = defaultdict(list)

    async def round(self) -> None:
        await self.until("hit")
        await self.ask("well", ENOUGH, "hit")
        self.valkey.freeze()
        await self.ask("hanging", FAILURES, "bypass")
        await self.ask("lost", ENOUGH, "bypass")
        self.valkey.thaw()
        await self.until("hit")
        self.valkey.kill()
        await self.ask("refusing", FAILURES, "bypass")
        await self.ask("lost", ENOUGH, "bypass")
        self.valkey.start()

    async def ask(self, state: str, times: int, origin: str) -> None:
        for _ in range(times):
            started_s = time.perf_counter()
            answer = await self.client.ask("GET", self.path)
            self.took_ms[state].append((time.perf_counter() - started_s) * 1000)
            assert answer.status == 200
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
    without_ms = statistics.median(took_ms["lost"])
    print(f"\r{'Redis is':10}{'requests':>10}{'median ms':>11}{'slowest ms':>12}{'extra ms':>10}{'at most':>9}")
    for state, all_ms in took_ms.items():
        median_ms, slowest_ms = statistics.median(all_ms), max(all_ms)
        extra = f"{median_ms - without_ms:>10.2f}{slowest_ms - without_ms:>9.2f}"
        print(f"{state:10}{len(all_ms):>10}{median_ms:>11.2f}{slowest_ms:>12.2f}{extra}")


if __name__ == "__main__":
    main()
