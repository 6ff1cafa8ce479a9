"""Names of stored objects, such as `ab/ab12…-9f8e…`: a folder, the content's digest, and what makes the name unique."""

import hashlib
import secrets
from datetime import timedelta

UNNAMED_FOR = timedelta(hours=1)
"""How long an object without a row is kept, since the transaction that writes the row may still run. After this time
the object belongs to nobody."""

_UNIQUE_BYTES = 8


def new_name(content: bytes) -> str:
    """A name that is given to no other object, not even to the same content again."""
    digest = hashlib.sha256(content).hexdigest()
    return f"{digest[:2]}/{digest}-{secrets.token_hex(_UNIQUE_BYTES)}"


def digest_in(name: str) -> str:
    """The SHA-256 of the object of that name, in hexadecimal digits."""
    return name[3 : 3 + 64]
