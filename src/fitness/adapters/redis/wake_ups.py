"""Wake-ups over Redis's publish and subscribe: one channel, heard by every process."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from redis.exceptions import RedisError

from fitness.adapters.redis.client import AnyLine, AnyRedis, connected
from fitness.adapters.redis.connection import Command
from fitness.adapters.redis.line import FAILURES
from fitness.foundation.tasks import SupervisedTasks, mark_retrieved

CHANNEL = "v1:live:changed"

TOGETHER_S = 0.05
"""Announcements within this time after a message go into the next message: receiving a message costs some 0.1 ms."""

SILENCE_S = 5.0
"""After so long without a message the server is pinged; without an answer for another SILENCE_S, the connection is made
anew."""

RETRY_S = 0.5

_log = logging.getLogger(__name__)


class RedisWakeUps:
    """Publishes over `line`, and listens on a separate connection to `url`."""

    def __init__(self, line: AnyLine, url: str) -> None:
        self._line = line
        self._url = url
        self._announced: set[int] = set()
        self._waiting = False
        self._tasks = SupervisedTasks()

    def announce(self, user_id: int) -> None:
        self._announced.add(user_id)
        if not self._waiting:
            self._tell()

    def _tell(self) -> None:
        announced, self._announced = self._announced, set()
        self._waiting = bool(announced)
        if announced:
            asyncio.get_running_loop().call_later(TOGETHER_S, self._tell)
            command = ("PUBLISH", CHANNEL, " ".join(map(str, announced)))
            # None where Redis is down, and for a Cluster, whose line has to find the server first.
            if self._line.ask_soon(lambda answer: answer, command) is None:
                self._tasks.start_for_all(self._publish(command))

    async def _publish(self, command: Command) -> None:
        with suppress(*FAILURES):
            await self._line.ask(CHANNEL, command)

    async def listen(self, woken: Callable[[int], None]) -> None:
        failed = False
        while True:
            client = connected(self._url, socket_timeout=None)
            try:
                await self._hear(client, woken)
            except (RedisError, OSError, ValueError) as error:
                if not failed:
                    _log.warning("changes of other processes are seen up to a second late, as Redis is down: %s", error)
                failed = True
            finally:
                closing = asyncio.ensure_future(client.aclose())
                closing.add_done_callback(mark_retrieved)
                await asyncio.wait({closing}, timeout=1.0)
            await asyncio.sleep(RETRY_S)

    async def _hear(self, client: AnyRedis, woken: Callable[[int], None]) -> None:
        async with client.pubsub() as channel:
            async with asyncio.timeout(SILENCE_S):
                await channel.subscribe(CHANNEL)
            asked = False
            while True:
                message = await channel.get_message(timeout=SILENCE_S)
                if message is not None and message["type"] == "message":
                    for user_id in message["data"].split():
                        woken(int(user_id))
                elif message is None and asked:
                    raise OSError(f"no sign of life for {2 * SILENCE_S} s")
                asked = message is None
                if asked:
                    await channel.ping()
