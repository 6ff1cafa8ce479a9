"""A request that the application's quick way answers as a whole, mostly without a task."""

import asyncio
import logging
from collections.abc import Coroutine
from types import CoroutineType
from typing import Any, Protocol, cast

from fitness.entrypoints.server.exchange import Answer, QuickAnswer
from fitness.entrypoints.server.heads import Head

_log = logging.getLogger(__name__)


class QuickConnection(Protocol):
    """What a Quick needs of its connection."""

    @property
    def date(self) -> bytes: ...

    @property
    def closing(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    def ended(self, exchange: "Quick") -> None: ...

    async def answer_at_length(self, quick: "Quick", head: Head, found: object) -> None:
        """Let the application answer as usual, given what its quick way `found`."""


class Quick:
    """Takes the place of an Exchange while the connection answers the request."""

    __slots__ = ("_connection", "_waits_for", "answered", "head", "keep_alive", "task")
    received_all = True
    received_bytes = 0

    def __init__(self, connection: QuickConnection, head: Head) -> None:
        self.answered = False
        self.keep_alive = head.keep_alive
        self.task: asyncio.Task[None] | None = None
        self._connection = connection
        self.head = head
        self._waits_for: QuickAnswer | None = None

    @property
    def started(self) -> bool:
        return self.answered

    def begin(self, found: QuickAnswer | Coroutine[Any, Any, object]) -> None:
        if isinstance(found, CoroutineType):
            self.task = asyncio.get_running_loop().create_task(self._run(found))
        else:  # isinstance with an abstract class would cost a request more than the rest of this
            self._waits_for = waits_for = cast("QuickAnswer", found)
            waits_for.when_ready(self._ready)

    def client_left(self) -> None:
        waits_for, self._waits_for = self._waits_for, None
        if waits_for is not None:
            waits_for.abandon()
        elif self.task is not None:
            self.task.cancel()

    def _ready(self, _: object) -> None:
        waits_for, self._waits_for = self._waits_for, None
        if waits_for is None:  # the client has left
            return
        try:
            found = waits_for.answer()
            if isinstance(found, Answer):
                self._answer(found)
            else:
                self.begin(found)
        except Exception:  # noqa: BLE001 - whatever the application raises, the client gets an answer
            self._failed()

    async def _run(self, answering: Coroutine[Any, Any, object]) -> None:
        try:
            found = await answering
            if isinstance(found, Answer):
                self._answer(found)
                return
        except Exception:  # noqa: BLE001 - as in `_ready`
            self._failed()
            return
        await self._connection.answer_at_length(self, self.head, found)

    def _failed(self) -> None:
        _log.exception("%s %s failed", self.head.method, self.head.target.decode("latin-1"))
        self._connection.ended(self)

    def _answer(self, answer: Answer) -> None:
        connection = self._connection
        if connection.closing:
            self.keep_alive = False
        connection.write(answer.rendered(date=connection.date, close=not self.keep_alive))
        self.answered = True
        connection.ended(self)
