"""Whether in any order of steps the lease's real code shows less than was acknowledged: a million states and more.

    python -m tests.soak.lease_states [--states 1000000]

The model checker of tests/unit/test_lease_model.py with several bounds, in two processes. Exits with 1 after a stale
read, or where there were fewer states than asked for.
"""

import argparse
import gc
import multiprocessing
import sys
import time
from collections.abc import Iterator

from tests.unit.test_lease_model import Bounds, Rules, explored

PROCESSES = 2
SAID_EVERY = 20_000

# Each of these limits how often something happens, so that the other steps can be explored in depth. The first two have
# about 100 000 states in all; the others get equal shares of the rest.
BOUNDS = (
    Bounds(writes=1, rounds=1, renewals=0, moves=1, failures=0),
    Bounds(writes=1, rounds=1, renewals=1, moves=0),
    Bounds(writes=2, rounds=1, renewals=0, moves=0),
    Bounds(writes=1, rounds=2, renewals=0, moves=1),
    Bounds(writes=1, reads=2, rounds=2, renewals=0, moves=2, failures=0),
    Bounds(),
)

Visited = tuple[Bounds, int, bool, bool, float]
"""The bounds, the number of states, whether one was stale, whether those were all states, and the seconds it took."""


def visit(given: tuple[Bounds, int]) -> Visited:
    gc.set_threshold(50_000, 50, 100)
    bounds, most = given
    began_s, said = time.monotonic(), 0

    def say(states: int) -> None:
        nonlocal said
        if states >= said + SAID_EVERY:
            said = states
            print(f"{states} of {most}: {bounds}", file=sys.stderr, flush=True)

    return bounds, *explored(bounds, Rules, most=most, progress=say), time.monotonic() - began_s


def visited(most: int) -> Iterator[Visited]:
    """Visit at most `most` states under each of the bounds; the bounds that are done first come first."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        yield from pool.imap_unordered(visit, [(bounds, most) for bounds in BOUNDS], chunksize=1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--states", type=int, default=1_000_000)
    given = options.parse_args()
    began_s = time.monotonic()
    total, stale = 0, False
    for bounds, states, showed_stale, complete, took_s in visited(-(-given.states // (len(BOUNDS) - 2))):
        total, stale = total + states, stale or showed_stale
        what = "stale" if showed_stale else "all" if complete else "not all"
        print(f"{states:>9} states, {what}, {states / took_s:.0f} a second: {bounds}", flush=True)
    print(f"{total} states in {time.monotonic() - began_s:.0f} s, stale reads: {'yes' if stale else 'none'}")
    if stale or total < given.states:
        sys.exit(1)


if __name__ == "__main__":
    main()
