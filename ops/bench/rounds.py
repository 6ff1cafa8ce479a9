"""The servers side by side, and the rounds in which each is measured."""

import asyncio
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ops.bench.cores import Cores, divided, pin
from ops.bench.figures import Figures
from ops.bench.hello import saying_hello
from ops.bench.load import Generator, Order, Scenario, generator
from ops.bench.stage import HIT, SETTINGS, Stage, in_any_order, staged
from ops.local.service import serving_from

TURN_S = 0.4
CONNECTIONS = 64
TURNS_OF_TWO = 10

HELLO = "hello"
HELLO_REQUEST = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind of request to one server."""

    scenario: Scenario
    cpu_s: Callable[[], float]
    """The CPU time that the server has used so far."""
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True, slots=True)
class Side:
    """One checkout, and the subjects measured on it."""

    mark: str
    """Appended to the names of the subjects; empty for this checkout."""
    source: Path
    stage: Stage
    subjects: dict[str, Subject]


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that runs during a measurement."""

    load: Generator
    cores: Cores
    hello: Subject
    sides: list[Side]

    @property
    def subjects(self) -> list[Subject]:
        return [self.hello, *(subject for side in self.sides for subject in side.subjects.values())]

    def measure(self, rounds: int) -> None:
        subjects = self.subjects
        for number in range(rounds + 1):
            for side in self.sides:
                asyncio.run(side.stage.fill())
            random.shuffle(subjects)  # a turn affects the next one, so their order must vary
            for subject in subjects:
                turn, cpu_s = self.load.turn(subject.scenario, Order(TURN_S, CONNECTIONS), subject.cpu_s)
                if number:  # the first round warms up
                    subject.figures.add(turn, cpu_s)
            print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)

    def beside_hello(self, side: Side, order: Order, turns: int) -> tuple[Figures, Figures]:
        """The figures of cached GETs and of hello, measured in turn."""
        asyncio.run(side.stage.fill())
        found = Figures(), Figures()
        for _ in range(turns):
            for one, figures in zip((side.subjects[HIT], self.hello), found, strict=True):
                figures.add(*self.load.turn(one.scenario, order, one.cpu_s))
        return found

    def one_and_two(self, side: Side) -> tuple[Figures, Figures]:
        """The figures of cached GETs of one worker and of two, measured in turn. Needs `cores.two`."""
        assert self.cores.two is not None
        found = Figures(), Figures()
        with serving_from(side.source, side.stage.urls, SETTINGS | {"WORKERS": "2"}) as instance:
            pin(instance.pids(), self.cores.two)
            asyncio.run(side.stage.fill())
            servers = side.stage.instance, instance
            hits = [side.stage.hits(server.port) for server in servers]
            with generator(hits) as load:
                for number in range(TURNS_OF_TWO + 1):
                    for scenario, server, figures in zip(hits, servers, found, strict=True):
                        turn, cpu_s = load.turn(scenario, Order(TURN_S, CONNECTIONS), server.cpu_s)
                        if number:
                            figures.add(turn, cpu_s)
        return found


@contextmanager
def prepared(roots: Sequence[Path], kinds: Sequence[str], rounds: int) -> Iterator[Bench]:
    """Starts a server for each checkout, and hello. Only the servers run on their core: all else is kept off it."""
    cores = divided(frozenset(os.sched_getaffinity(0)))
    os.sched_setaffinity(0, cores.others)
    with ExitStack() as stack:
        marks = ("", ", other")
        sides = [
            _side(stack, mark, root / "src", kinds, cores, rounds) for mark, root in zip(marks, roots, strict=False)
        ]
        server = stack.enter_context(saying_hello())
        pin(server.pids(), cores.one)
        hello = Subject(Scenario(HELLO, server.port, partial(in_any_order, [HELLO_REQUEST])), server.cpu_s)
        scenarios = [hello.scenario, *(one.scenario for side in sides for one in side.subjects.values())]
        yield Bench(stack.enter_context(generator(scenarios)), cores, hello, sides)


def _side(stack: ExitStack, mark: str, source: Path, kinds: Sequence[str], cores: Cores, rounds: int) -> Side:
    stage = staged(stack, source, cores.one, turns=rounds + 1)
    subjects = {one.name: Subject(one, stage.instance.cpu_s) for one in stage.scenarios if one.name in kinds}
    return Side(mark, source, stage, subjects)
