"""Connects to Redis (one server, a Sentinel's primary or a Cluster): a line for requests, a client for the rest."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from fitness.adapters.redis.cluster import RedisClusterLine
from fitness.adapters.redis.connection import Connection
from fitness.adapters.redis.line import DEADLINE_S, RedisLine

GIVEN_UP_S = 1.0
"""The longest wait for a connection, and for an answer; callers have a shorter deadline of their own."""

PATIENT_DEADLINE_S = 1.0
"""A line's deadline where nothing can replace the answer, as for sessions: it is better to wait for a busy server."""

MAX_CONNECTIONS = 4
"""The most connections of one client; a line has one connection."""

AnyRedis = Redis | RedisCluster
AnyLine = RedisLine | RedisClusterLine


def line_to(url: str, deadline_s: float = DEADLINE_S) -> AnyLine:
    """A line that connects when first asked; URLs as for `connected`."""
    # The connection has no timeout: the line has a deadline for all answers, and connects in the background.
    client = connected(url, socket_timeout=None)
    if isinstance(client, RedisCluster):
        return RedisClusterLine(client, deadline_s=deadline_s)
    pool: ConnectionPool = client.connection_pool
    return _OwnLine(pool.make_connection, client, deadline_s)


def connected(url: str, *, socket_timeout: float | None = GIVEN_UP_S, connect_timeout: float = GIVEN_UP_S) -> AnyRedis:
    """A client that connects when first asked. Raises ValueError for a URL that is none of these:

    redis://, rediss:// and unix:// for one server, redis+sentinel://host:port,host:port/primary[/db] for whichever
    server the Sentinels call the primary, redis+cluster://host:port,host:port for a Cluster.
    """
    scheme = url.partition("://")[0]
    # redis-py's own ten retries would cost seconds, and would run a command twice that was only slow.
    deadlines: dict[str, Any] = {"socket_timeout": socket_timeout, "socket_connect_timeout": connect_timeout}
    if scheme == "redis+sentinel":
        return _primary(url, deadlines)
    if scheme == "redis+cluster":
        # The Cluster's line asks for the slots through this client, which has no other deadline.
        deadlines["socket_timeout"] = socket_timeout or GIVEN_UP_S
        nodes = [ClusterNode(host, port) for host, port in _hosts(url)]
        return RedisCluster(
            startup_nodes=nodes, max_connections=MAX_CONNECTIONS, retry=_never(), **_credentials(url), **deadlines
        )
    pool = BlockingConnectionPool.from_url(
        url, max_connections=MAX_CONNECTIONS, timeout=GIVEN_UP_S, retry=_never(), **deadlines
    )
    return Redis.from_pool(pool)


class _OwnLine(RedisLine):
    """Also closes the client that makes its connections, since the client may have connections of its own."""

    def __init__(self, make_connection: Callable[[], Connection], maker: Redis, deadline_s: float) -> None:
        super().__init__(make_connection, deadline_s=deadline_s)
        self._maker = maker

    async def aclose(self) -> None:
        await super().aclose()
        await self._maker.aclose()


class _RedisOfSentinels(Redis):
    """Closes the connections to the Sentinels too, which redis-py leaves to the garbage collector."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        pool: Any = self.connection_pool
        await asyncio.gather(*(one.aclose() for one in pool.sentinel_manager.sentinels))


async def closed(line: AnyLine) -> None:
    await line.aclose()


def _primary(url: str, deadlines: dict[str, Any]) -> Redis:
    service, _, database = urlsplit(url).path.strip("/").partition("/")
    if not service:
        raise ValueError("a Sentinel URL names its primary: redis+sentinel://host:port/primary")
    sentinel = Sentinel(_hosts(url), sentinel_kwargs=deadlines | {"retry": _never()})  # type: ignore[no-untyped-call]
    primary: Redis = sentinel.master_for(
        service,
        redis_class=_RedisOfSentinels,
        db=int(database or 0),
        max_connections=MAX_CONNECTIONS,
        retry=_never(),
        **_credentials(url),
        **deadlines,
    )
    return primary


def _hosts(url: str) -> list[tuple[str, int]]:
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    pairs = [host.rpartition(":") for host in hosts]
    if not all(host and port.isdecimal() for host, _, port in pairs):
        raise ValueError("name every server as host:port, set apart by commas")
    return [(host, int(port)) for host, _, port in pairs]


def _credentials(url: str) -> dict[str, Any]:
    username, _, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    given = {"username": unquote(username) or None, "password": unquote(password) or None}
    return {name: value for name, value in given.items() if value is not None}


def _never() -> Retry:
    return Retry(NoBackoff(), 0)
