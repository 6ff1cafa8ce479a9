"""Tickets and places of the live feed in the state Redis."""

from collections.abc import Iterable
from typing import Any

import msgspec

from fitness.adapters.redis.client import AnyLine
from fitness.adapters.redis.connection import Command
from fitness.adapters.redis.line import FAILURES, LineFull
from fitness.domain.model.users import Caller
from fitness.ports.live import PLACE_TTL_S, TICKET_TTL_S, Place
from fitness.ports.outages import Overloaded, TicketsUnavailable

# The server's clock is used, so that all processes agree on when a place expires.
TAKE = """
local now = redis.call('TIME')
local at = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', at + ARGV[3]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
KEEP = TAKE.replace("if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end\n", "")

PLACE_TTL_MS = PLACE_TTL_S * 1_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Caller).decode


class RedisTickets:
    def __init__(self, line: AnyLine) -> None:
        self._line = line

    async def issue(self, digest: bytes, caller: Caller) -> None:
        name = _ticket(digest)
        await _asked(self._line, name, ("SET", name, _encode(caller), "EX", TICKET_TTL_S))

    async def redeem(self, digest: bytes) -> Caller | None:
        name = _ticket(digest)
        (kept,) = await _asked(self._line, name, ("GETDEL", name))
        return None if kept is None else _decode(kept)


class RedisPlaces:
    """One sorted set for each user: the names of connections, by the time when their places are free again."""

    def __init__(self, line: AnyLine) -> None:
        self._line = line

    async def take(self, place: Place, *, most: int) -> bool:
        name = _places(place[0])
        (taken,) = await _asked(self._line, name, ("EVAL", TAKE, 1, name, place[1], most, PLACE_TTL_MS))
        return bool(taken)

    async def keep(self, places: Iterable[Place]) -> None:
        for user_id, connection in places:
            name = _places(user_id)
            await _asked(self._line, name, ("EVAL", KEEP, 1, name, connection, 0, PLACE_TTL_MS))

    async def leave(self, place: Place) -> None:
        name = _places(place[0])
        await _asked(self._line, name, ("ZREM", name, place[1]))


def _ticket(digest: bytes) -> str:
    return f"v1:live:ticket:{digest.hex()}"


def _places(user_id: int) -> str:
    return f"v1:live:places:{{user:{user_id}}}"


async def _asked(line: AnyLine, name: str, *commands: Command) -> list[Any]:
    try:
        return (await line.ask(name, *commands)).replies
    except LineFull as error:
        raise Overloaded(str(error)) from error
    except FAILURES as error:
        raise TicketsUnavailable("tickets for the live feed cannot be kept now; try again") from error
