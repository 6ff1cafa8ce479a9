"""The load generator on a real server, and short runs of the benchmarks."""

import subprocess
import sys
from functools import partial

import pytest
from ops.bench.hello import saying_hello
from ops.bench.load import Order, Scenario, generator
from ops.bench.rounds import HELLO_REQUEST
from ops.bench.stage import in_any_order

from tests.patience import PATIENCE_S

pytestmark = pytest.mark.engines


def test_every_answer_is_counted_and_the_wrong_ones_are_named():
    with saying_hello() as server:
        requests = partial(in_any_order, [HELLO_REQUEST])
        right = Scenario("right", server.port, requests, most=500)
        wrong = Scenario("wrong", server.port, requests, status=201, most=500)
        with generator([right, wrong]) as load:
            turns = [load.turn(one, Order(PATIENCE_S, 8), server.cpu_s)[0] for one in (right, wrong)]
            steady, cpu_s = load.turn(right, Order(0.5, 8, rate=200), server.cpu_s)
    assert [turn.answers for turn in turns] == [500, 500]
    assert [dict(turn.wrong) for turn in turns] == [{}, {"200": 500}]
    assert steady.answers == pytest.approx(100, abs=50)
    assert 0 < cpu_s < steady.took_s * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "options", "rows"),
    [
        ("speed", ["--only", "miss", "create"], ["hello", "miss", "create"]),
        ("write_through", [], ["write-through, 50% read", "cache-aside, 50% read"]),
    ],
)
def test_a_benchmark_prints_what_it_measures(benchmark: str, options: list[str], rows: list[str]):
    command = [sys.executable, "-m", f"ops.bench.{benchmark}", "--rounds", "1", *options]
    # The exit code is not asked: whether all answers were those to be measured depends on what else the machine does.
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    named = [line.split("|")[1].strip() for line in ran.stdout.splitlines() if line.startswith("| ")]
    assert set(rows) <= set(named), ran.stderr
