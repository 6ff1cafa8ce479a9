"""Tokens to reset a password, signed together with the hash of the present password: so each is valid once."""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Sequence
from datetime import datetime

from fitness.domain.model.sessions import microseconds

_CLAIM = struct.Struct(">QQ")
"""The account's id, and the expiry in microseconds since 1970."""
MAX_ID = 2**63 - 1
_MAC_BYTES = 32
_BYTES = _CLAIM.size + _MAC_BYTES
_LENGTH = _BYTES * 4 // 3


class HmacResetTokens:
    """Signed with the first of `secret_keys`, valid if signed with any of them."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in secret_keys]

    def issue(self, user_id: int, password_hash: str, *, until: datetime) -> str:
        claim = _CLAIM.pack(user_id, microseconds(until))
        return base64.urlsafe_b64encode(claim + _mac(self._keys[0], claim, password_hash)).decode()

    def user_of(self, token: str) -> int | None:
        signed = _decoded(token)
        user_id = 0 if signed is None else int(_CLAIM.unpack_from(signed)[0])
        return user_id if 0 < user_id <= MAX_ID else None  # unverified, and PostgreSQL has no other ids

    def verify(self, token: str, password_hash: str, *, at: datetime) -> bool:
        signed = _decoded(token)
        if signed is None:
            return False
        claim, mac = signed[: _CLAIM.size], signed[_CLAIM.size :]
        issued_here = [hmac.compare_digest(mac, _mac(key, claim, password_hash)) for key in self._keys]
        return any(issued_here) and microseconds(at) < _CLAIM.unpack(claim)[1]


def _decoded(token: str) -> bytes | None:
    if len(token) != _LENGTH:
        return None
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None


def _mac(key: bytes, claim: bytes, password_hash: str) -> bytes:
    return hmac.digest(key, b"password reset " + claim + password_hash.encode(), hashlib.sha256)
