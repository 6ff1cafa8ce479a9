"""What the benchmarks count, without a server."""

import random
from array import array

import pytest
from ops.bench.figures import COLUMNS, Figures, ratio, table
from ops.bench.load import Scenario, Turn, kind, whole
from ops.bench.pacing import paced

HEAD = b"HTTP/1.1 200 OK\r\nx-cache: HIT\r\ncontent-length: 5\r\n\r\n"


def scenario(*, status: int = 200, origin: str = "") -> Scenario:
    return Scenario("cached GET", 1, lambda: iter(()), status=status, origin=origin)


@pytest.mark.parametrize("received", [HEAD[:30], HEAD, HEAD + b"1234"])
def test_an_answer_is_waited_for_to_its_end(received: bytes):
    assert not whole(received)


def test_a_whole_answer_has_its_head_found():
    assert whole(HEAD + b"12345") == len(HEAD)


def test_an_answer_without_a_body_is_whole():
    assert whole(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.mark.parametrize(
    ("meant", "right"),
    [
        (scenario(origin="HIT"), True),
        (scenario(), True),
        (scenario(origin="MISS"), False),
        (scenario(status=201), False),
    ],
)
def test_an_answer_is_right_by_its_status_and_origin(meant: Scenario, right: bool):
    assert meant.is_answered_by(HEAD) is right


def test_a_wrong_answer_is_named_by_both():
    assert (kind(HEAD), kind(b"HTTP/1.1 503 X\r\n\r\n")) == ("200 HIT", "503")


def test_figures_are_for_one_request():
    figures = Figures()
    figures.add(Turn(took_s=0.5, cpu_s=0.1, answers=1_000, latencies_s=array("f", [0.002] * 1_000)), cpu_s=0.4)
    assert figures.cpu_us == [pytest.approx(400)]
    assert figures.capacity == pytest.approx(2_000)
    assert figures.p99_ms == pytest.approx(2)
    assert figures.server_share == [pytest.approx(0.8)]


@pytest.mark.parametrize(("wrong", "too_often"), [(1, False), (2, True)])
def test_one_wrong_answer_in_a_thousand_is_borne(wrong: int, too_often: bool):
    figures = Figures()
    turn = Turn(took_s=1, answers=1_000)
    turn.wrong["200 BYPASS"] = wrong
    figures.add(turn, cpu_s=1)
    assert figures.too_often_wrong is too_often


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians():
    assert ratio([2, 30, 4], [1, 10, 1]) == "3.00 [2.50 3.50]"


def test_the_table_is_aligned():
    lines = table(COLUMNS, [("hello", "15", "1", "60 000", "1.0", "2.0")]).splitlines()
    assert len({len(line) for line in lines}) == 1


async def test_calls_are_due_at_the_rate_that_is_asked_for():
    random.seed(1)
    due: list[float] = []
    await paced(2_000, 0.2, due.append)
    assert len(due) == pytest.approx(400, abs=100)
    assert due == sorted(due)
