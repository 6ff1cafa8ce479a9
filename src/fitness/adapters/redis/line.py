"""One line to a Redis server: all questions of a process, pipelined over one connection.

Questions of one turn of the event loop are written together; answers come in the order of the questions. There is no
pool to wait for, so a thousand concurrent requests are one queue and not a thousand timers.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fitness.adapters.redis.connection import (
    Command,
    Connection,
    Conversation,
    Packed,
    given_up,
    handshaken,
    packed,
    taken_over,
)
from fitness.adapters.redis.questions import Answer, Question, fail_all
from fitness.foundation.tasks import SupervisedTasks, mark_retrieved
from fitness.ports.reply import Reply

T = TypeVar("T")

DEADLINE_S = 0.05
"""The longest wait for the next answer, counted from the previous answer or, if that is later, from the writing of the
question. A server that keeps answering is up, however many questions wait."""

LOOK_S = 0.005
LATE_S = 0.005
GRACE_S = 0.02
LONGEST_WAIT_S = 1.0
"""A busy event loop runs its timers before it reads its sockets: at the deadline the answer may be there, unread. So
the line looks again after LOOK_S and, as long as that timer is late by more than LATE_S, again after GRACE_S, until
LONGEST_WAIT_S is over."""

RETRY_S = 0.1
"""The pause between attempts to connect to a server that is down."""

CONNECT_S = 1.0
MAX_WAITING = 20_000
"""The most questions that may wait for an answer; further ones are refused."""


class LineFull(Exception):
    """This process asks faster than the server answers; the server need not be down."""


FAILURES = (RedisError, RedisClusterException, OSError, LineFull)
"""The exceptions that are raised when there is no answer, or an error in place of it."""


class RedisLine:
    """Connects when first asked, and again by itself whenever the connection is lost.

    While a connection is being made, questions wait for it. Once an answer is overdue, or an attempt has failed or
    taken longer than `deadline_s`, the server counts as down: questions then fail at once, until an attempt succeeds.
    """

    def __init__(self, make_connection: Callable[[], Connection], *, deadline_s: float = DEADLINE_S) -> None:
        self._make_connection = make_connection
        self._deadline_s = deadline_s
        self._loop: asyncio.AbstractEventLoop  # from the first question on
        self._queue: deque[Question] = deque()
        self._unanswered: deque[Question] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._given_up = SupervisedTasks()
        self._transport: asyncio.WriteTransport | None = None
        self._ended: asyncio.Future[None] | None = None
        self._writes_soon = False
        self._watched = False
        self._answered_s = float("-inf")
        self._down: Exception | None = None
        self.run_id: str | None = None
        """The run id of the connected server; None without a connection."""

    def ask(self, key: str | bytes, *commands: Command | Packed) -> "asyncio.Future[Answer]":
        """The replies to `commands`, in their order. `key` is a key of theirs; all their keys are in its slot.

        The future raises the first error among the replies, or RedisError or OSError if there is no answer in time.
        Raises LineFull, and RedisConnectionError while the server counts as down.
        """
        if self._down is not None:
            raise RedisConnectionError(f"Redis is down: {self._down}")
        if self._full:
            raise LineFull(f"{MAX_WAITING} questions to Redis wait for their answers")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._ask(Question(commands, answer))
        return answer

    def ask_soon(self, read: Callable[[Answer], T], *commands: Command | Packed) -> Reply[T] | None:
        """As `ask`, but a Reply whose value `read` makes; None if the server is down or too many questions wait.

        The reply fails if there is no answer in time, or an error among the replies.
        """
        if self._down is not None or self._full:
            return None
        reply = Reply(read)
        self._ask(Question(commands, reply))
        return reply

    @property
    def _full(self) -> bool:
        return len(self._queue) + len(self._unanswered) >= MAX_WAITING

    def _ask(self, question: Question) -> None:
        if self._serving is None:
            self._loop = asyncio.get_running_loop()
            self._serving = self._loop.create_task(self._serve())
        self._queue.append(question)
        if not self._writes_soon and self._transport is not None:
            self._writes_soon = True
            self._loop.call_soon(self._write)  # after all questions of this turn of the loop

    async def mget(self, *pairs: tuple[str, str]) -> list[Answer]:
        """The values of the pairs of keys, in their order, in one answer or several. A pair's keys are in one slot."""
        return await self.ask_everywhere(("MGET", *[name for pair in pairs for name in pair]))

    async def ask_each(self, commands: Sequence[Command]) -> list[Answer]:
        """The answers to commands whose keys are in any slots; the second word of a command is its key."""
        return [await self.ask("", *commands)] if commands else []

    async def ask_everywhere(self, *commands: Command | Packed) -> list[Answer]:
        """The answer of every server; a line has one server."""
        return [await self.ask("", *commands)]

    def reconnect(self) -> None:
        """Give up the connection and make a new one: Sentinels may name another primary by now."""
        self._end(RedisConnectionError("the connection was given up"))

    async def aclose(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        await self._given_up.wait()
        self._go_down(RedisConnectionError("the line to Redis is closed"))

    async def _serve(self) -> None:
        while True:
            connection = self._make_connection()
            try:
                await self._connect(connection)
                await self._converse(connection)
            except (RedisError, OSError, ValueError) as error:
                self._lose(error)
            finally:
                self.run_id = self._transport = None
                await connection.disconnect(nowait=True)
            if self._down is not None:
                await asyncio.sleep(RETRY_S)

    async def _connect(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        looking = loop.call_at(began_s + self._deadline_s, self._connects_late, began_s, None)
        # A separate task: redis-py loses a cancellation that comes while it connects, and may connect after all.
        handshake = asyncio.ensure_future(handshaken(connection))
        try:
            connect_s = max(CONNECT_S, self._deadline_s)
            await asyncio.wait({handshake}, timeout=connect_s)
            if not handshake.done():
                raise RedisTimeoutError(f"the server did not complete the handshake within {connect_s} s")
            self.run_id = handshake.result()
        except (RedisError, OSError, ValueError) as error:
            self._go_down(error)
            raise
        finally:
            looking.cancel()
            if handshake.done():
                mark_retrieved(handshake)  # the line may have been closed as it ended
            else:
                self._given_up.start(given_up(connection, handshake))
        self._down = None

    def _connects_late(self, began_s: float, again_s: float | None) -> None:
        """Stop waiting for the connection, unless this process itself is late: see LONGEST_WAIT_S."""
        loop = self._loop
        now_s = loop.time()
        if self.run_id is not None or self._down is not None:
            return
        if again_s is None:
            loop.call_at(now_s + LOOK_S, self._connects_late, began_s, now_s + LOOK_S)
        elif now_s - again_s > LATE_S and now_s - began_s < LONGEST_WAIT_S:
            loop.call_at(now_s + GRACE_S, self._connects_late, began_s, now_s + GRACE_S)
        else:
            self._go_down(RedisTimeoutError(f"the server did not complete the handshake within {self._deadline_s} s"))

    async def _converse(self, connection: Connection) -> None:
        """Exchange questions and answers. Raises when the connection breaks, is given up, or an answer is overdue."""
        self._ended = ended = self._loop.create_future()
        conversation = Conversation(self._replied, self._end)
        self._transport = transport = taken_over(connection, conversation)
        try:
            self._write()
            await ended
        finally:
            # This transport may end long after the next one has begun, if it has bytes left to write.
            conversation.leave()
            transport.abort()

    def _end(self, error: Exception) -> None:
        """End the connection. Questions asked from now on wait for the next one."""
        self._transport = None
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)

    def _write(self) -> None:
        """Write all questions since the last write at once."""
        self._writes_soon = False
        if self._transport is None:
            return
        questions, self._queue = self._queue, deque()
        now_s = self._loop.time()
        written = []
        for question in questions:
            if question.answer.done():  # nobody waits for it any more, and it was not written yet
                continue
            question.written_s = now_s
            written += [packed(command) for command in question.commands]
            self._unanswered.append(question)
        self._transport.write(b"".join(written))
        self._watch()

    def _replied(self, replies: list[Any]) -> None:
        unanswered = self._unanswered
        self._answered_s = self._loop.time()
        for reply in replies:
            if not unanswered:
                self._end(RedisConnectionError("the server answered what nobody asked"))
                return
            question = unanswered[0]
            question.replies.append(reply)
            if len(question.replies) == len(question.commands):
                unanswered.popleft()
                error = question.settle(self.run_id or "")
                if isinstance(error, ReadOnlyError):  # it became a replica: ask for the primary again
                    self.reconnect()

    def _watch(self) -> None:
        """Set one timer, for the oldest unanswered question: all later questions are due later."""
        if not self._watched and self._unanswered:
            self._watched = True
            self._look_at(self._due_s, again=False)

    @property
    def _due_s(self) -> float:
        return max(self._unanswered[0].written_s, self._answered_s) + self._deadline_s

    def _look_at(self, at_s: float, *, again: bool) -> None:
        self._loop.call_at(at_s, self._look, at_s, again)

    def _look(self, at_s: float, again: bool) -> None:
        """Check whether an answer is overdue; `again` if it was overdue before the sockets were last read."""
        now_s = self._loop.time()
        if not self._unanswered:
            self._watched = False
        elif now_s < self._due_s:
            self._look_at(self._due_s, again=False)
        elif not again:
            self._look_at(now_s + LOOK_S, again=True)
        elif now_s - at_s > LATE_S and now_s - self._due_s < LONGEST_WAIT_S:
            self._look_at(now_s + GRACE_S, again=True)
        else:
            self._watched = False
            # Down at once: the next question need not wait for a second deadline, that of the handshake.
            self._go_down(RedisTimeoutError(f"no answer within {self._deadline_s} s"))
            self.reconnect()

    def _lose(self, error: Exception) -> None:
        """Fail the questions that were written. The others wait for the next connection."""
        lost, self._unanswered = self._unanswered, deque()
        fail_all(lost, error)

    def _go_down(self, error: Exception) -> None:
        """Fail all questions, and every question from now on until a connection is made."""
        self._down = error
        self._lose(error)
        waiting, self._queue = self._queue, deque()
        fail_all(waiting, error)
