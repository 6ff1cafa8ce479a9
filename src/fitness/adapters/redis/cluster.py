"""The line to a Redis Cluster: one line to each primary, and a question goes to the one that has its key's slot."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import AskError, MovedError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from fitness.adapters.redis.connection import Command, Packed, cancelled
from fitness.adapters.redis.line import DEADLINE_S, RedisLine, T
from fitness.adapters.redis.questions import Answer
from fitness.foundation.tasks import mark_retrieved
from fitness.ports.reply import Reply

REFRESH_S = 0.2
"""The shortest time between two background refreshes of the slot map."""


class RedisClusterLine:
    """redis-py knows the slots and makes the connections; the lines carry the questions."""

    def __init__(self, cluster: RedisCluster, *, deadline_s: float = DEADLINE_S) -> None:
        self._cluster = cluster
        self._deadline_s = deadline_s
        self._lines: dict[str, RedisLine] = {}
        self._known = False
        self._closed = False
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_s = -REFRESH_S

    @property
    def run_id(self) -> str | None:
        """The run ids of all primaries, sorted, with commas between them; None while a primary is not connected."""
        ids = [line.run_id for line in self._lines.values()]
        return ",".join(sorted(one for one in ids if one)) if self._known and ids and all(ids) else None

    async def ask(self, key: str | bytes, *commands: Command | Packed) -> Answer:
        """As `RedisLine.ask`. A question whose slot has moved, or is moving, is asked once more at its new server."""
        try:
            return await (await self._line(key)).ask(key, *commands)
        except (MovedError, AskError):
            await self._refreshed()
            return await (await self._line(key)).ask(key, *commands)
        except (RedisError, OSError):
            self._refresh()
            raise

    def ask_soon(self, read: Callable[[Answer], T], *commands: Command | Packed) -> Reply[T] | None:
        """Always None: the line must first find out which server has the keys of each command."""
        return None

    async def ask_each(self, commands: Sequence[Command]) -> list[Answer]:
        """As `RedisLine.ask_each`."""
        return [*await asyncio.gather(*(self.ask(str(command[1]), command) for command in commands))]

    async def mget(self, *pairs: tuple[str, str]) -> list[Answer]:
        """As `RedisLine.mget`."""
        return await self.ask_each([("MGET", *pair) for pair in pairs])

    async def ask_everywhere(self, *commands: Command | Packed) -> list[Answer]:
        """Every primary's answer."""
        if not self._known:
            await self._refreshed()
        try:
            return [*await asyncio.gather(*(line.ask("", *commands) for line in self._lines.values()))]
        except (RedisError, OSError):
            self._refresh()
            raise

    def reconnect(self) -> None:
        for line in self._lines.values():
            line.reconnect()
        self._refresh()

    async def aclose(self) -> None:
        self._closed = True  # questions that fail from now on start no refresh
        if self._refreshing is not None:
            await cancelled(self._refreshing)
        await asyncio.gather(*(line.aclose() for line in self._lines.values()))
        await self._disconnect()

    async def _line(self, key: str | bytes) -> RedisLine:
        if not self._known:
            await self._refreshed()
        try:
            node: Any = self._cluster.get_node_from_key(key.decode() if isinstance(key, bytes) else key)
        except RedisClusterException:
            self._refresh()
            raise
        return self._lines[node.name]

    def _refresh(self) -> None:
        """Refresh the slot map in the background after a question failed, at most once in REFRESH_S."""
        if not self._closed and asyncio.get_running_loop().time() >= self._refreshed_s + REFRESH_S:
            self._look()

    async def _refreshed(self) -> None:
        if self._closed:
            raise RedisConnectionError("the line to Redis is closed")
        await asyncio.shield(self._look())

    def _look(self) -> "asyncio.Task[None]":
        if self._refreshing is None or self._refreshing.done():
            self._refreshed_s = asyncio.get_running_loop().time()
            self._refreshing = asyncio.ensure_future(self._look_again())
            self._refreshing.add_done_callback(mark_retrieved)
        return self._refreshing

    async def _look_again(self) -> None:
        """Ask which server has which slots. Lines to servers that are no longer primaries are closed."""
        try:
            # Not `RedisCluster.initialize`, which also asks for the description of every command: 100 KB each time.
            await self._cluster.nodes_manager.initialize()
        finally:
            await self._disconnect()
        primaries: list[Any] = self._cluster.get_primaries()
        lines = {node.name: self._lines.get(node.name) or self._line_to(node) for node in primaries}
        gone = [line for name, line in self._lines.items() if name not in lines]
        self._lines, self._known = lines, True
        await asyncio.gather(*(line.aclose() for line in gone))

    def _line_to(self, node: Any) -> RedisLine:
        return RedisLine(_maker(node), deadline_s=self._deadline_s)

    async def _disconnect(self) -> None:
        """Close the connections over which redis-py asked for the slots; the lines have their own.

        `RedisCluster.aclose` closes nothing if it or `initialize` was cancelled before.
        """
        nodes = self._cluster.nodes_manager
        await nodes.aclose()
        await nodes.aclose("startup_nodes")
        await asyncio.gather(*nodes._background_tasks, return_exceptions=True)  # close connections to former nodes


def _maker(node: Any) -> Any:
    # No timeout of the connection: the line has a deadline for all its answers.
    return lambda: node.connection_class(**node.connection_kwargs | {"socket_timeout": None})
