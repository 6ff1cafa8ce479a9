"""What a cached GET and a create cost in this checkout, against another checkout of the same service.

    python -m ops.bench.compare ../other-checkout [--rounds 12] [--requests 2000] [--limits]

Each checkout is served by a process of its own from its own `src/`, on a database that its own migrations made; both
run in this environment's Python with its libraries. CPU is that of the service and its workers, for each request; p50
is what a client sees while eight requests are under way. In a round the two are asked in turn, a few hundred requests
at a time, so that whatever else the machine does meets both. The ratio, this checkout to the other, is the median over
the rounds; in brackets are the quartiles. `--limits` charges each request under limits that none exceeds; without it,
limits are off.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ops.bench.recording import BODY, CLIENTS, prepared
from ops.local.client import Client
from ops.local.service import Instance, engines, serving_from

HERE = Path(__file__).parents[2]
NEVER_EXCEEDED = "10000"
IN_TURN = 200
MOST_ATTEMPTS = 20

Ask = Callable[[Client, str], Awaitable[bool]]
"""Makes one request; False if the answer is not the one to be measured."""


async def get(client: Client, path: str) -> bool:
    return b"x-cache: hit" in (await client.ask("GET", path)).headers


async def create(client: Client, _: str) -> bool:
    return (await client.ask("POST", "/activities", BODY)).status == 201


ASKS: dict[str, Ask] = {"cached GET": get, "create": create}


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One checkout's service, its clients, and an activity in its cache."""

    instance: Instance
    clients: tuple[Client, ...]
    path: str


class TooBusy(Exception):
    """The service did not answer as it should, however often it was asked."""


@dataclass(frozen=True, slots=True)
class Turn:
    cpu_s: float
    took_s: list[float]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one request of a round."""

    cpu_us: float
    p50_us: float


Found = dict[str, list[tuple[Cost, Cost]]]
"""The costs here and there in each round, by what was asked."""


def side(stack: ExitStack, checkout: Path, scale: str) -> Side:
    source = checkout / "src"
    urls = stack.enter_context(engines(source=source))
    instance = stack.enter_context(serving_from(source, urls, {"RATE_LIMIT_SCALE": scale}))
    token, path = asyncio.run(prepared(instance.port))
    return Side(instance, tuple(Client(instance.port, token) for _ in range(CLIENTS)), path)


async def measure(here: Side, other: Side, found: Found, *, rounds: int, requests: int) -> None:
    """Adds each round's costs to `found`. Raises TooBusy."""
    for number in range(rounds + 1):
        for name, ask in ASKS.items():
            costs = await round_of(ask, here, other, requests)
            if number:  # the first round warms up
                found[name].append(costs)
        print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)


async def round_of(ask: Ask, here: Side, other: Side, requests: int) -> tuple[Cost, Cost]:
    took: dict[Side, list[Turn]] = {here: [], other: []}
    for number in range(requests // IN_TURN):
        for one in (here, other) if number % 2 else (other, here):  # neither is always the second
            took[one].append(await turn(ask, one))
    return cost(took[here]), cost(took[other])


async def turn(ask: Ask, one: Side) -> Turn:
    """Asked again where an answer was not as it should be: a busy machine makes the service bypass its cache."""
    for _ in range(MOST_ATTEMPTS):
        took_s: list[float] = []
        before_s = one.instance.cpu_s()
        answered = await asyncio.gather(*(share(ask, client, one.path, took_s) for client in one.clients))
        if all(answered):
            return Turn(one.instance.cpu_s() - before_s, took_s)
    raise TooBusy


async def share(ask: Ask, client: Client, path: str, took_s: list[float]) -> bool:
    """Whether every answer was as it should be."""
    sound = True
    for _ in range(IN_TURN // CLIENTS):
        started_s = time.perf_counter()
        sound &= await ask(client, path)
        took_s.append(time.perf_counter() - started_s)
    client.close()  # the service closes what is idle for some seconds, as these are while it is the other's turn
    return sound


def cost(turns: list[Turn]) -> Cost:
    took_s = [one for turn in turns for one in turn.took_s]
    return Cost(sum(turn.cpu_s for turn in turns) / len(took_s) * 1e6, statistics.median(took_s) * 1e6)


def line(name: str, here: list[float], other: list[float]) -> str:
    ratios = [one / another for one, another in zip(here, other, strict=True)]
    if len(ratios) < 2:
        return f"{name:16} too few rounds"
    low, _, high = statistics.quantiles(ratios, n=4)
    return (
        f"{name:16} {statistics.median(here):7.0f} us here {statistics.median(other):7.0f} us there"
        f"   ratio {statistics.median(ratios):.3f} [{low:.3f} {high:.3f}]"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("other", type=Path, help="the root of the other checkout")
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--requests", type=int, default=2_000, help="of each kind in a round")
    options.add_argument("--limits", action="store_true")
    given = options.parse_args()
    scale = NEVER_EXCEEDED if given.limits else "0"
    with ExitStack() as stack:
        here, other = (side(stack, checkout, scale) for checkout in (HERE, given.other.absolute()))
        found: Found = {name: [] for name in ASKS}
        try:
            asyncio.run(measure(here, other, found, rounds=given.rounds, requests=given.requests))
        except TooBusy:
            print("\nthe service does not answer as it should; what follows are the rounds before", file=sys.stderr)
    print(file=sys.stderr)
    for name, costs in found.items():
        print(line(f"{name}, CPU", [one.cpu_us for one, _ in costs], [one.cpu_us for _, one in costs]))
        print(line(f"{name}, p50", [one.p50_us for one, _ in costs], [one.p50_us for _, one in costs]))


if __name__ == "__main__":
    main()
