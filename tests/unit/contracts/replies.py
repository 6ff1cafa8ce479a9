"""Waits for replies."""

import asyncio
from typing import TypeVar

from fitness.ports.reply import Reply

T = TypeVar("T")


async def replied(reply: Reply[T]) -> T:
    """The value of a reply, once it is there. Raises what reading the value raises."""
    there = asyncio.Event()
    reply.when_done(lambda _: there.set())
    await there.wait()
    assert not reply.failed
    return reply.value
