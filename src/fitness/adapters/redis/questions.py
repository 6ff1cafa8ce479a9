"""The questions that a line to Redis was asked, until they are answered."""

from asyncio import Future
from collections.abc import Iterable
from typing import Any, NamedTuple

from fitness.adapters.redis.connection import Command, Packed
from fitness.ports.reply import Reply


class Answer(NamedTuple):
    run_id: str
    """The run id of the server that answered."""
    replies: list[Any]


class Question:
    """Commands whose replies make one answer, and the future or reply that waits for the answer."""

    __slots__ = ("answer", "commands", "replies", "written_s")

    def __init__(self, commands: tuple[Command | Packed, ...], answer: "Future[Answer] | Reply[Any]") -> None:
        self.commands = commands
        self.answer = answer
        self.replies: list[Any] = []
        self.written_s = 0.0

    def settle(self, run_id: str) -> Exception | None:
        """Complete the answer, once all replies are there. Returns the first error among them, or None."""
        for reply in self.replies:
            if isinstance(reply, Exception):
                if not self.answer.done():
                    self.answer.set_exception(reply)
                return reply
        if not self.answer.done():
            self.answer.set_result(Answer(run_id, self.replies))
        return None


def fail_all(questions: Iterable[Question], error: Exception) -> None:
    for question in questions:
        if not question.answer.done():
            question.answer.set_exception(error)
