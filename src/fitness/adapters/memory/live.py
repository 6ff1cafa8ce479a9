"""Tickets and places in dictionaries."""

import time
from collections.abc import Callable, Iterable

from fitness.domain.model.users import Caller
from fitness.ports.live import PLACE_TTL_S, TICKET_TTL_S, Place


class InMemoryTickets:
    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._issued: dict[bytes, tuple[Caller, float]] = {}

    async def issue(self, digest: bytes, caller: Caller) -> None:
        now_s = self._monotonic_s()
        self._issued = {name: kept for name, kept in self._issued.items() if kept[1] > now_s}
        self._issued[digest] = caller, now_s + TICKET_TTL_S

    async def redeem(self, digest: bytes) -> Caller | None:
        caller, until_s = self._issued.pop(digest, (None, 0.0))
        return caller if self._monotonic_s() < until_s else None


class InMemoryPlaces:
    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._taken: dict[int, dict[str, float]] = {}

    async def take(self, place: Place, *, most: int) -> bool:
        user_id, name = place
        now_s = self._monotonic_s()
        taken = {other: until_s for other, until_s in self._taken.get(user_id, {}).items() if until_s > now_s}
        if len(taken) >= most:
            return False
        self._taken[user_id] = taken | {name: now_s + PLACE_TTL_S}
        return True

    async def keep(self, places: Iterable[Place]) -> None:
        for user_id, name in places:
            self._taken.setdefault(user_id, {})[name] = self._monotonic_s() + PLACE_TTL_S

    async def leave(self, place: Place) -> None:
        user_id, name = place
        taken = self._taken.get(user_id, {})
        taken.pop(name, None)
        if not taken:
            self._taken.pop(user_id, None)
