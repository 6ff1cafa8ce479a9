"""Measures what a request costs: the service's CPU, beside that of granian answering 17 bytes, and clients' waits.

    python -m ops.bench.speed [--other ../other-checkout] [--rounds 30] [--only hit list miss create patch]

The servers have one core; the load and the engines have the others. Limits are charged for each request and never
exceeded; the access log goes to a file. Each of 64 connections sends its next request as soon as it has an answer, for
0.4 s at a time. In a round each kind of request to each server has a turn, in random order, so that other load on the
machine affects all alike. The waiting times on one connection, and on many at half of the service's capacity, are
measured beside hello in the same way. CPU is that of the service's processes with all their threads, without the
engines. CPU and requests/s are medians over the rounds, p50 and p99 are of all answers. The multiple of hello is the
median of the rounds' ratios; in brackets are the quartiles.

`--other` also serves another checkout from its own `src/`, on engines of its own, with this environment's Python. The
same checkout twice differs by some 5 %. Exits with 1 if more than one answer in a thousand was of another kind than the
measured one, such as a miss among the hits.
"""

import argparse
import itertools
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ops.bench.cores import ENOUGH_FOR_TWO
from ops.bench.figures import COLUMNS, Figures, ratio, ratio_row, row, table
from ops.bench.load import Order
from ops.bench.rounds import CONNECTIONS, HELLO, Bench, Side, prepared
from ops.bench.stage import CREATE, HIT, LISTED, MISS, PATCH

ROOT = Path(__file__).parents[2]
KINDS = {"hit": HIT, "list": LISTED, "miss": MISS, "create": CREATE, "patch": PATCH}
ROUNDS = 30
ALONE_S = 3.0
OPEN_LOOP_S = 8.0
TURNS = 4
"""Turns of cached GETs and of hello, so that other load on the machine affects both alike."""


def rows(bench: Bench) -> list[tuple[str, ...]]:
    hello = bench.hello.figures
    found = [row(HELLO, hello, hello)]
    for side in bench.sides:
        found += [row(kind + side.mark, one.figures, hello) for kind, one in side.subjects.items()]
    for here, other in itertools.pairwise(bench.sides):
        found += [
            ratio_row(f"{kind}, here / other", one.figures, other.subjects[kind].figures)
            for kind, one in here.subjects.items()
        ]
    return found


def alone(bench: Bench, side: Side) -> tuple[str, Figures]:
    hits, hello = bench.beside_hello(side, Order(ALONE_S / TURNS, 1), TURNS)
    return f"one connection, cached GET{side.mark}: p50 {hits.p50_ms:.2f} ms, hello {hello.p50_ms:.2f} ms", hits


def steady(bench: Bench, side: Side) -> tuple[str, Figures]:
    rate = side.subjects[HIT].figures.capacity / 2
    hits, hello = bench.beside_hello(side, Order(OPEN_LOOP_S / TURNS, CONNECTIONS, rate=rate), TURNS)
    seen = f"p50 {hits.p50_ms:.2f} ms, p99 {hits.p99_ms:.2f} ms, hello {hello.p50_ms:.2f} ms and {hello.p99_ms:.2f} ms"
    return f"open loop, {rate:.0f} cached GETs a second, half of the capacity{side.mark}: {seen}", hits


def two_workers(bench: Bench, side: Side) -> tuple[str, Figures]:
    one, two = bench.one_and_two(side)
    seen = f"{two.capacity:.0f} against {one.capacity:.0f} a second, ratio {ratio(two.per_s, one.per_s)}"
    return f"two workers against one, cached GET{side.mark}: {seen}", two


def shares(bench: Bench) -> str:
    """A line that shows whether the servers were the bottleneck."""
    servers = {one.scenario.name: statistics.median(one.figures.server_share) for one in bench.subjects}
    senders = {one.scenario.name: statistics.median(one.figures.sender_share) for one in bench.subjects}
    least, most = min(servers, key=servers.__getitem__), max(senders, key=senders.__getitem__)
    return (
        f"a server used at least {servers[least]:.0%} of its core ({least}), the load at most {senders[most]:.0%} of "
        f"another ({most}); load average of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


def wrong_answers(measured: Sequence[tuple[str, Figures]]) -> Iterator[str]:
    for name, figures in measured:
        if figures.wrong:
            kinds = ", ".join(f"{count} times {kind}" for kind, count in figures.wrong.most_common())
            bad = ": TOO MANY" if figures.too_often_wrong else ""
            yield f"not what is measured, {name}: {kinds} among {figures.answers} answers{bad}"


def reported(bench: Bench) -> list[tuple[str, Figures]]:
    """Print the figures and return them."""
    measured = [(one.scenario.name, one.figures) for one in bench.subjects]
    beside = [alone, steady] if bench.cores.two is None else [alone, steady, two_workers]
    print(table(COLUMNS, rows(bench)), end="\n\n")
    for side in bench.sides:
        for measure in beside if HIT in side.subjects else ():
            line, figures = measure(bench, side)
            print(line)
            measured.append((line.partition(":")[0], figures))
    if bench.cores.two is None:
        print(f"two workers against one: fewer than {ENOUGH_FOR_TWO} cores, too few to tell")
    print(shares(bench))
    return measured


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--other", type=Path, help="the root of another checkout")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--only", nargs="+", choices=KINDS, default=[*KINDS])
    given = options.parse_args()
    roots = [ROOT, *([given.other.absolute()] if given.other else [])]
    with prepared(roots, [KINDS[name] for name in given.only], given.rounds) as bench:
        bench.measure(given.rounds)
        measured = reported(bench)
    for line in wrong_answers(measured):
        print(line)
    if any(figures.too_often_wrong for _, figures in measured):
        sys.exit("the figures above are not those of what they are named after")


if __name__ == "__main__":
    main()
