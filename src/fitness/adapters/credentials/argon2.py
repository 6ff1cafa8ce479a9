"""Passwords hashed by argon2id, beside the event loop and never many at once."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = 2
"""Each takes 19 MiB and a core."""

# OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Argon2PasswordHasher:
    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._nobodys = _hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        matches = await asyncio.get_running_loop().run_in_executor(
            self._threads, _matches, password, password_hash or self._nobodys
        )
        return matches and password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        try:
            return _hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return False

    def close(self) -> None:
        self._threads.shutdown()


def _matches(password: str, password_hash: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
