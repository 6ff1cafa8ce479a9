"""Names of stored objects, such as `ab/ab12…-9f8e…`: a folder, the content's digest, and what makes the name unique."""

import hashlib
import secrets
from datetime import timedelta

UNNAMED_FOR = timedelta(hours=1)
"""An object that no row names may be younger than its row's transaction; after this it belongs to nobody."""

_UNIQUE_BYTES = 8


def new_name(content: bytes) -> str:
    """Given to nothing else, also not to the same content again."""
    digest = hashlib.sha256(content).hexdigest()
    return f"{digest[:2]}/{digest}-{secrets.token_hex(_UNIQUE_BYTES)}"


def digest_in(name: str) -> str:
    """The SHA-256 of the object of that name, in hexadecimal digits."""
    return name[3 : 3 + 64]
