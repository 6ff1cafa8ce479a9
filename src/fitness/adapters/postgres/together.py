"""Questions that come while others are being answered are put together in the next statement."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from fitness.foundation.tasks import SupervisedTasks, mark_retrieved
from fitness.ports.outages import Outage

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """`answer_all` answers up to `most` questions in one statement; a question that fails alone gets an exception.

    Up to `at_once` statements are under way, each with all questions since the last one began. So a lone question does
    not wait, and each of many costs a part of a statement. A statement begins after its questions were asked, so that
    an answer is never older than its question.
    """

    def __init__(
        self,
        answer_all: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]],
        *,
        most: int = 100,
        at_once: int = 2,
    ) -> None:
        self._answer_all = answer_all
        self._most = most
        self._at_once = at_once
        self._asked: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._running = 0
        self._tasks = SupervisedTasks()

    async def ask(self, question: Q) -> A:
        """The answer of `answer_all`, or its exception. The question is answered even if the caller is cancelled."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(mark_retrieved)
        self._asked.append((question, answer))
        if self._running < self._at_once:
            self._running += 1
            self._tasks.start_for_all(self._answer())  # begins in the loop's next turn, with all this turn's questions
        return await asyncio.shield(answer)

    async def _answer(self) -> None:
        try:
            while self._asked:
                some = [self._asked.popleft() for _ in range(min(self._most, len(self._asked)))]
                try:
                    answers = await self._answer_all([question for question, _ in some])
                except Exception as error:  # noqa: BLE001 - it is the answer to each of these questions
                    answers = [error] * len(some)
                    if isinstance(error, Outage):  # the others waited for the same store
                        some += self._asked
                        answers += [error] * len(self._asked)
                        self._asked.clear()
                for (_, future), answer in zip(some, answers, strict=True):
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._running -= 1
