"""Passwords hashed by argon2id, beside the event loop and never many at once."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = 2
"""Each takes 19 MiB and a core."""

# OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
COST = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Argon2PasswordHasher:
    def __init__(self, cost: PasswordHasher = COST) -> None:
        self._cost = cost
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._nobodys = cost.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._cost.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        matches = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._matches, password, password_hash or self._nobodys
        )
        return matches and password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        try:
            return self._cost.check_needs_rehash(password_hash)
        except InvalidHashError:
            return False

    def close(self) -> None:
        self._threads.shutdown()

    def _matches(self, password: str, password_hash: str) -> bool:
        try:
            return self._cost.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
