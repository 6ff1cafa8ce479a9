"""The token in the link to an export: the export's id, signed, so that nobody can guess the link."""

import hashlib
import hmac
import re
import struct
from collections.abc import Sequence

_ID = struct.Struct(">Q")
_MAC_BYTES = 24
_TOKEN = re.compile(rf"[0-9a-f]{{{2 * (_ID.size + _MAC_BYTES)}}}")


class HmacExportTokens:
    """Signed with the first of `secret_keys`, valid if signed with any of them."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in secret_keys]

    def issue(self, export_id: int) -> str:
        claim = _ID.pack(export_id)
        return (claim + _mac(self._keys[0], claim)).hex()

    def export_of(self, token: str) -> int | None:
        if not _TOKEN.fullmatch(token):
            return None
        signed = bytes.fromhex(token)
        claim, mac = signed[: _ID.size], signed[_ID.size :]
        issued_here = [hmac.compare_digest(mac, _mac(key, claim)) for key in self._keys]
        return int(_ID.unpack(claim)[0]) if any(issued_here) else None


def _mac(key: bytes, claim: bytes) -> bytes:
    return hmac.digest(key, b"export " + claim, hashlib.sha256)[:_MAC_BYTES]
