"""Whether anybody gets more than five guesses a minute at a password, and what other users notice of the guesses.

    python -m tests.soak.logins [--attempts 5000]

A third of the attempts each is made while the limits' Redis is up, hangs and is gone. Half of them come from one
address and try many accounts, half come from many addresses and try one account, while other users log in normally.
Exits with 1 after a sixth check of a password within a minute, a refused login of another user, or a 99th percentile of
theirs above 500 ms.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ops.local.client import Client
from ops.local.service import engines, serving

from tests.harness.servers import ValkeyServer, breakable_state

ATTACKERS = 16
ATTACK_PAUSE_S = 0.05
OTHERS = 100
OTHERS_PAUSE_S = 0.05
MINUTE_S = 60
LONGEST_MS = 500
VICTIM = "victim@example.org"
PASSWORD = "correct horse"


@dataclass
class Soak:
    checked_s: dict[str, list[float]] = field(default_factory=lambda: {"one address": [], "one account": []})
    """When passwords were checked, by the kind of attack."""
    statuses: Counter[str] = field(default_factory=Counter)
    took_ms: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stop: bool = False

    async def attack(self, client: Client, attempts: int) -> None:
        for number in range(attempts):
            kind = ("one address", "one account")[number % 2]
            email = VICTIM if kind == "one account" else f"somebody{random.getrandbits(40)}@example.org"
            address = "203.0.113.7" if kind == "one address" else an_address()
            asked_s = time.monotonic()
            answer = await client.ask(
                "POST",
                "/auth/login",
                {"email": email, "password": "wrong horse"},
                headers=f"x-forwarded-for: {address}\r\n",
            )
            self.statuses[f"{kind}: {answer.status}"] += 1
            if answer.status == 401:
                self.checked_s[kind].append(asked_s)
            elif answer.status != 429:
                self.wrong.append(f"{answer.status} {answer.body!r}")
            await asyncio.sleep(ATTACK_PAUSE_S)

    async def log_in_as_ever(self, client: Client) -> None:
        number = 0
        while not self.stop:
            number += 1
            started_s = time.monotonic()
            answer = await client.ask(
                "POST",
                "/auth/login",
                {"email": f"other{number % OTHERS}@example.org", "password": PASSWORD},
                headers=f"x-forwarded-for: {an_address()}\r\n",
            )
            self.took_ms.append((time.monotonic() - started_s) * 1000)
            if answer.status != 200:
                self.wrong.append(f"somebody else: {answer.status} {answer.body!r}")
            await asyncio.sleep(OTHERS_PAUSE_S)

    def most_in_a_minute(self, kind: str) -> int:
        times_s = self.checked_s[kind]
        return max((sum(0 <= at_s - first_s < MINUTE_S for at_s in times_s) for first_s in times_s), default=0)


def an_address() -> str:
    return f"198.{random.randrange(18, 20)}.{random.randrange(256)}.{random.randrange(256)}"


async def attacked(port: int, valkey: ValkeyServer, attempts: int) -> Soak:
    soak = Soak()
    client = Client(port)
    for number in range(OTHERS):
        registration = {"email": f"other{number}@example.org", "password": PASSWORD}
        await client.ask("POST", "/auth/register", registration, headers=f"x-forwarded-for: {an_address()}\r\n")
    others = asyncio.ensure_future(soak.log_in_as_ever(client))
    phases: list[tuple[str, Callable[[], None]]] = [
        ("up", lambda: None),
        ("hanging", valkey.freeze),
        ("gone", valkey.kill),
    ]
    for state, bring_about in phases:
        bring_about()
        share = attempts // len(phases) // ATTACKERS + 1
        await asyncio.gather(*(soak.attack(Client(port), share) for _ in range(ATTACKERS)))
        print(f"\rRedis is {state}: {dict(soak.statuses)}", file=sys.stderr, flush=True)
    soak.stop = True
    await others
    return soak


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--attempts", type=int, default=5_000)
    given = options.parse_args()
    trusted = "127.0.0.0/8"
    with engines() as urls, breakable_state(urls) as (own, valkey), serving(own, TRUSTED_PROXIES=trusted) as instance:
        soak = asyncio.run(attacked(instance.port, valkey, given.attempts))
    most = {kind: soak.most_in_a_minute(kind) for kind in soak.checked_s}
    p99_ms = statistics.quantiles(soak.took_ms, n=100)[98]
    print(f"{sum(soak.statuses.values())} attempts; most passwords checked in a minute: {most}")
    print(f"{len(soak.took_ms)} logins of others, p99 {p99_ms:.0f} ms; wrong: {len(soak.wrong)}", *soak.wrong[:5])
    if max(most.values()) > 5 or soak.wrong or p99_ms > LONGEST_MS:
        sys.exit(1)


if __name__ == "__main__":
    main()
