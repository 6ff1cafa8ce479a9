"""Passwords hashed by argon2id, on threads beside the event loop, at most AT_ONCE at a time."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fitness.ports.outages import Overloaded

T = TypeVar("T")

AT_ONCE = 2
"""Hashes computed at the same time; each takes 19 MiB and a core."""

MOST_OF_STRANGERS = 64
"""Passwords that are being hashed or wait: about a second of work, at some 30 ms each on two cores."""

MOST_OF_KNOWN = 32
"""Further passwords, of known callers alone."""

# OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
COST = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Argon2PasswordHasher:
    def __init__(self, cost: PasswordHasher = COST) -> None:
        self._cost = cost
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._nobodys = cost.hash(secrets.token_hex(16))
        self._admitted = 0

    async def hash(self, password: str, *, known: bool = False) -> str:
        return await self._in_turn(known, self._cost.hash, password)

    async def verify(self, password: str, password_hash: str | None, *, known: bool = False) -> bool:
        matches = await self._in_turn(known, self._matches, password, password_hash or self._nobodys)
        return matches and password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        try:
            return self._cost.check_needs_rehash(password_hash)
        except InvalidHashError:
            return False

    def close(self) -> None:
        self._threads.shutdown()

    async def _in_turn(self, known: bool, work: Callable[..., T], *given: str) -> T:
        """Known callers may also take the strangers' places; strangers may not take theirs. Raises Overloaded."""
        if self._admitted >= MOST_OF_STRANGERS + (MOST_OF_KNOWN if known else 0):
            raise Overloaded("too many passwords wait to be checked")
        self._admitted += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        finally:
            self._admitted -= 1

    def _matches(self, password: str, password_hash: str) -> bool:
        try:
            return self._cost.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
