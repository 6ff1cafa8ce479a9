"""How long an answer of PostgreSQL is waited for, on an event loop whose time is the test's."""

import asyncio
import selectors
from collections.abc import Iterator
from typing import Any

import pytest

from fitness.adapters.postgres.database import DEADLINE_S, LATE_S, in_time


class Loop(asyncio.SelectorEventLoop):
    """Its time passes where it waits, at once, and where a test lets it pass."""

    def __init__(self) -> None:
        super().__init__(Waiting(self))
        self.now_s = 1_000.0

    def time(self) -> float:
        return self.now_s


class Waiting(selectors.DefaultSelector):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        self._loop.now_s += timeout or 0.0
        return super().select(0)


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def waited_s(loop: Loop, outcome: "asyncio.Future[Any]", patience_s: float) -> float:
    began_s = loop.now_s
    loop.run_until_complete(in_time(outcome, patience_s))
    return loop.now_s - began_s


def test_what_does_not_come_is_waited_for_as_long_as_was_said(loop: Loop):
    assert waited_s(loop, loop.create_future(), 0.8) == pytest.approx(0.8)


def test_the_services_own_deadline_leaves_time_for_an_answer_within_a_second(loop: Loop):
    assert waited_s(loop, loop.create_future(), DEADLINE_S) + LATE_S < 1.0


def test_what_comes_is_not_waited_for_any_longer(loop: Loop):
    outcome = loop.create_future()
    loop.call_later(0.3, outcome.set_result, None)
    assert waited_s(loop, outcome, 0.8) == pytest.approx(0.3)
    assert waited_s(loop, outcome, 0.8) == 0


def test_a_wait_that_ended_late_begins_anew_since_the_answer_may_be_there(loop: Loop):
    def stall() -> None:
        loop.now_s += 2.0

    outcome = loop.create_future()
    loop.call_later(0.7, stall)
    loop.call_later(2.8, outcome.set_result, "it was")
    assert waited_s(loop, outcome, 0.8) == pytest.approx(2.8)
    assert outcome.result() == "it was"


def test_a_little_late_is_in_time(loop: Loop):
    def stall() -> None:
        loop.now_s += 0.1 + LATE_S / 2

    loop.call_later(0.7, stall)
    assert waited_s(loop, loop.create_future(), 0.8) == pytest.approx(0.8 + LATE_S / 2)
