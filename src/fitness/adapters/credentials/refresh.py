"""Refresh tokens: a claim and a MAC over it. The same claim makes the same token, so no token is stored."""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Sequence

from fitness.domain.model.sessions import RefreshClaim
from fitness.domain.model.users import Caller

_CLAIM = struct.Struct(">6sQ16sQI")
"""The key's id, the account's id, the session's id, its login in microseconds since 1970, the token's number."""
_MAC_BYTES = 32
_LENGTH = -(-(_CLAIM.size + _MAC_BYTES) * 4 // 3)


class HmacRefreshTokens:
    """Signed with the first of `secret_keys`, valid if signed with any of them.

    Each session has a key of its own, derived from the secret and the session; that key signs the token's number.
    """

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._keys = {_key_id(key): key.encode() for key in secret_keys}
        self._signing_id = _key_id(secret_keys[0])

    def issue(self, claim: RefreshClaim) -> str:
        caller = claim.caller
        text = _CLAIM.pack(
            self._signing_id, caller.id, bytes.fromhex(caller.session_id), caller.logged_in_us, claim.number
        )
        signed = text + _mac(self._keys[self._signing_id], text)
        return base64.urlsafe_b64encode(signed).decode().rstrip("=")

    def verify(self, token: str) -> RefreshClaim | None:
        if len(token) != _LENGTH:
            return None
        try:
            signed = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None
        text, mac = signed[: _CLAIM.size], signed[_CLAIM.size :]
        key_id, user_id, session_id, logged_in_us, number = _CLAIM.unpack(text)
        key = self._keys.get(key_id)
        if key is None or not hmac.compare_digest(mac, _mac(key, text)):
            return None
        return RefreshClaim(Caller(user_id, session_id.hex(), logged_in_us), number)


def _mac(secret: bytes, text: bytes) -> bytes:
    head, number = text[:-4], text[-4:]
    family_key = hmac.digest(secret, b"refresh tokens of " + head, hashlib.sha256)
    return hmac.digest(family_key, number, hashlib.sha256)


def _key_id(key: str) -> bytes:
    return hashlib.sha256(b"refresh key id of " + key.encode()).digest()[:6]
