"""The way to Redis: a bounded pool with short deadlines and no retries."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

DEADLINE_S = 0.05


def connected(url: str, *, max_connections: int = 32) -> Redis:
    """A client that connects when first asked. Raises ValueError for a URL that is none of Redis's."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=DEADLINE_S,
        socket_timeout=DEADLINE_S,
        socket_connect_timeout=DEADLINE_S,
        # The library's own ten retries would cost seconds, and run a command twice that was only slow.
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)
