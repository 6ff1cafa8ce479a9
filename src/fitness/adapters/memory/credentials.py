"""Passwords, access tokens and device tokens without the costly arithmetic. Not for keeping anybody's real password."""

import hashlib
import hmac
import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from fitness.domain.model.logins import Device
from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import Caller, EmailAddress
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import ACCESS_TOKEN_TTL_S, DEVICE_TOKEN_TTL_S, AccessToken

SALT_BYTES = 8


class InMemoryPasswordHasher:
    async def hash(self, password: str, *, known: bool = False) -> str:
        return salted(password, secrets.token_hex(SALT_BYTES))

    async def verify(self, password: str, password_hash: str | None, *, known: bool = False) -> bool:
        salt, _, _ = (password_hash or "-$").partition("$")
        return hmac.compare_digest(salted(password, salt), password_hash or "") and password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        return len(password_hash.partition("$")[0]) < SALT_BYTES * 2


class InMemoryAccessTokens:
    """Random tokens; the callers that they were issued to are kept here."""

    def __init__(self, clock: ClockPort) -> None:
        self._clock = clock
        self._issued: dict[str, tuple[Caller, datetime]] = {}

    def issue(self, caller: Caller) -> AccessToken:
        token = secrets.token_urlsafe(24)
        expires = self._clock.now() + timedelta(seconds=ACCESS_TOKEN_TTL_S)
        self._issued[token] = replace(caller, until=expires), expires
        return AccessToken(token, ACCESS_TOKEN_TTL_S)

    def verify(self, token: str) -> Caller:
        caller, expires = self._issued.get(token, (None, None))
        if caller is None or expires is None or self._clock.now() >= expires:
            raise NotAuthenticated("the access token is invalid or has expired")
        return caller


class InMemoryDeviceTokens:
    """Random tokens; the devices that they were issued to are kept here."""

    def __init__(self, clock: ClockPort) -> None:
        self._clock = clock
        self._issued: dict[str, tuple[Device, datetime]] = {}

    def issue(self, account: EmailAddress, device_id: str) -> str:
        token = secrets.token_urlsafe(24)
        self._issued[token] = Device(device_id, account), self._clock.now() + timedelta(seconds=DEVICE_TOKEN_TTL_S)
        return token

    def verify(self, token: str) -> Device | None:
        device, expires = self._issued.get(token, (None, None))
        return None if expires is None or self._clock.now() >= expires else device

    def belongs(self, device: Device, account: EmailAddress) -> bool:
        return device.account == account


def salted(password: str, salt: str) -> str:
    return f"{salt}${hashlib.sha256((salt + password).encode()).hexdigest()}"
