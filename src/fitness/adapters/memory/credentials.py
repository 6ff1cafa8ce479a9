"""Passwords and access tokens without the costly arithmetic. Not for keeping anybody's real password."""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import Caller
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import ACCESS_TOKEN_TTL_S, AccessToken


class InMemoryPasswordHasher:
    async def hash(self, password: str) -> str:
        return _salted(password, secrets.token_hex(8))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        salt, _, _ = (password_hash or "-$").partition("$")
        return hmac.compare_digest(_salted(password, salt), password_hash or "") and password_hash is not None


class InMemoryAccessTokens:
    """Tokens that mean nothing in themselves: who they were issued to is kept here."""

    def __init__(self, clock: ClockPort) -> None:
        self._clock = clock
        self._issued: dict[str, tuple[Caller, datetime]] = {}

    def issue(self, caller: Caller) -> AccessToken:
        token = secrets.token_urlsafe(24)
        self._issued[token] = (caller, self._clock.now() + timedelta(seconds=ACCESS_TOKEN_TTL_S))
        return AccessToken(token, ACCESS_TOKEN_TTL_S)

    def verify(self, token: str) -> Caller:
        caller, expires = self._issued.get(token, (None, None))
        if caller is None or expires is None or self._clock.now() >= expires:
            raise NotAuthenticated("the access token is invalid or has expired")
        return caller


def _salted(password: str, salt: str) -> str:
    return f"{salt}${hashlib.sha256((salt + password).encode()).hexdigest()}"
