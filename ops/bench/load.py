"""Sends requests over kept-alive connections, from a process of its own, and checks every answer.

A request costs this process only some 15 µs, so the measurement is that of the server. The measuring process gives an
`Order`, reads the server's CPU time, says go, and reads it again when the `Turn` has come back.
"""

import asyncio
import gc
import multiprocessing
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import cast

import uvloop
from ops.bench.pacing import paced

IDLE_S = 3.0
"""Connections that were idle for this long are opened anew, since a server may close them."""

PATIENCE_S = 15.0
CLOSED = "connection closed"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Requests of one kind to one server."""

    name: str
    port: int
    requests: Callable[[], Iterator[bytes]]
    """Called once, in the sending process; a turn ends early when the iterator ends."""
    status: int = 200
    origin: str = ""
    """The expected value of X-Cache; empty if it does not matter."""
    most: int = 1_000_000
    """The highest number of requests in a turn."""

    def is_answered_by(self, head: bytes) -> bool:
        return head.startswith(b"HTTP/1.1 %d " % self.status) and (
            not self.origin or b"\r\nx-cache: %s\r\n" % self.origin.encode() in head
        )


@dataclass(frozen=True, slots=True)
class Order:
    """Without a rate: a closed loop, one request under way on each connection. Else an open loop of `rate` a second."""

    seconds: float
    connections: int
    rate: float | None = None


@dataclass(slots=True)
class Turn:
    """The result of an order."""

    took_s: float = 0.0
    """The time until the last answer."""
    cpu_s: float = 0.0
    """CPU time of the sending process."""
    answers: int = 0
    latencies_s: "array[float]" = field(default_factory=lambda: array("f"))
    """The closed loop leaves out the first answer of each connection, since the queue was not full yet. In the open
    loop, latencies count from when the request was due."""
    wrong: Counter[str] = field(default_factory=Counter)
    """Answers of another kind than the scenario's, by their status and X-Cache."""


class Connection(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self) -> None:
        self.closed = False
        self.busy = False
        self.sending: Sending | None = None
        self._received = b""
        self._since_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class has no common base class

    def send(self, request: bytes, since_s: float) -> None:
        self.busy = True
        self._since_s = since_s
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data if self._received else data
        if (end := whole(received)) and self.sending is not None:
            self.busy, self._received = False, b""
            self.sending.answered(self, received[:end], time.perf_counter() - self._since_s)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self.sending is not None:
            self.sending.lost(self)

    def close(self) -> None:
        self.sending = None
        self._transport.close()


def whole(answer: bytes) -> int:
    """The position where the head of a complete answer ends; 0 while a part of the answer is missing."""
    end = answer.find(b"\r\n\r\n") + 4
    if end < 4:
        return 0
    at = answer.find(b"\r\ncontent-length: ", 0, end) + 18
    length = int(answer[at : answer.index(b"\r", at)]) if at >= 18 else 0
    return end if len(answer) >= end + length else 0


class Sending:
    """One turn under way. Requests wait, and connections are free, only in the open loop."""

    def __init__(self, scenario: Scenario, requests: Iterator[bytes], order: Order) -> None:
        self.turn = Turn()
        self.over = asyncio.get_running_loop().create_future()
        self._is_right = scenario.is_answered_by
        self._requests = requests
        self._left = scenario.most
        self._closed_loop = order.rate is None
        self._early = order.connections if self._closed_loop else 0
        self._ends_s = time.perf_counter() + order.seconds
        self._all_due = self._closed_loop
        self._under_way = 0
        self._due: deque[float] = deque()
        self._free: deque[Connection] = deque()

    def begin(self, connections: Sequence[Connection]) -> None:
        for connection in connections:
            connection.sending = self
            if self._closed_loop:
                self._send(connection, time.perf_counter())
            else:
                self._free.append(connection)
        self._finish_if_idle()

    def request(self, due_s: float) -> None:
        """A request is due; it waits if every connection has one under way."""
        if self._free:
            self._send(self._free.popleft(), due_s)  # the one that was idle longest, before the server closes it
        else:
            self._due.append(due_s)

    def answered(self, connection: Connection, head: bytes, took_s: float) -> None:
        self.turn.answers += 1
        if self.turn.answers > self._early:
            self.turn.latencies_s.append(took_s)
        if not self._is_right(head):
            self.turn.wrong[kind(head)] += 1
        self._under_way -= 1
        if not self._closed_loop:
            self._free.append(connection)
            if self._due:
                self.request(self._due.popleft())
        elif (now_s := time.perf_counter()) < self._ends_s:
            self._send(connection, now_s)
        self._finish_if_idle()

    def lost(self, connection: Connection) -> None:
        self.turn.wrong[CLOSED] += 1
        if connection in self._free:
            self._free.remove(connection)
        self._under_way -= connection.busy
        self._finish_if_idle()

    def last_is_due(self) -> None:
        """`request` will not be called any more."""
        self._all_due = True
        self._finish_if_idle()

    def _finish_if_idle(self) -> None:
        if self._all_due and not self._under_way and not self._due and not self.over.done():
            self.over.set_result(None)

    def _send(self, connection: Connection, since_s: float) -> None:
        request = next(self._requests, None) if self._left else None
        if request is None:
            return
        self._left -= 1
        self._under_way += 1
        connection.send(request, since_s)


def kind(head: bytes) -> str:
    _, found, rest = head.partition(b"\r\nx-cache: ")
    return f"{head[9:12].decode()} {rest.partition(bytes([13]))[0].decode() if found else ''}".rstrip()


class Sender:
    """The sending process."""

    def __init__(self, pipe: Pipe, scenarios: Sequence[Scenario]) -> None:
        self._pipe = pipe
        self._scenarios = [(scenario, scenario.requests()) for scenario in scenarios]
        self._connections: dict[int, tuple[float, list[Connection]]] = {}

    async def carry_out(self, number: int, order: Order) -> Turn:
        """Carry out an order for scenario `number`."""
        scenario, requests = self._scenarios[number]
        connections = await self._opened(scenario.port, order.connections)
        self._pipe.send(None)  # ready
        self._pipe.recv()  # go
        began_s, cpu_s = time.perf_counter(), time.process_time()
        sending = Sending(scenario, requests, order)
        sending.begin(connections)
        if order.rate is not None:
            await paced(order.rate, order.seconds, sending.request)
            sending.last_is_due()
        await asyncio.wait_for(sending.over, order.seconds + PATIENCE_S)
        sending.turn.took_s, sending.turn.cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
        for connection in connections:
            connection.sending = None
        self._connections[scenario.port] = (time.monotonic(), connections)
        return sending.turn

    async def _opened(self, port: int, number: int) -> list[Connection]:
        """The connections of the last turn, or new ones."""
        await asyncio.sleep(0.001)  # lets the loop notice connections that the server has closed
        used_s, connections = self._connections.pop(port, (0.0, []))
        sound = [one for one in connections if not one.closed]
        if len(sound) == number and time.monotonic() - used_s < IDLE_S:
            return sound
        for one in sound:
            one.close()
        loop = asyncio.get_running_loop()
        opened = [await loop.create_connection(Connection, "127.0.0.1", port) for _ in range(number)]
        return [connection for _, connection in opened]


def _run(pipe: Pipe, scenarios: Sequence[Scenario]) -> None:
    """Runs until the other end of the pipe is closed."""
    gc.disable()  # nothing here makes cycles
    loop = uvloop.new_event_loop()
    sender = Sender(pipe, scenarios)
    while True:
        try:
            number, order = pipe.recv()
        except EOFError:
            return
        pipe.send(loop.run_until_complete(sender.carry_out(number, order)))


class Generator:
    """The measuring process's handle on the sending process."""

    def __init__(self, pipe: Pipe, scenarios: Sequence[Scenario]) -> None:
        self._pipe = pipe
        self._scenarios = scenarios

    def turn(self, scenario: Scenario, order: Order, cpu_s: Callable[[], float]) -> tuple[Turn, float]:
        """The turn, and by how much `cpu_s` rose. Raises EOFError if the sending process has failed."""
        self._pipe.send((self._scenarios.index(scenario), order))
        self._pipe.recv()
        before_s = cpu_s()
        self._pipe.send(None)
        turn: Turn = self._pipe.recv()
        return turn, cpu_s() - before_s


@contextmanager
def generator(scenarios: Sequence[Scenario]) -> Iterator[Generator]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, scenarios), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Generator(ours, scenarios)
    finally:
        ours.close()
        process.join(PATIENCE_S)
