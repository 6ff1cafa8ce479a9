"""The key that signs access tokens, made once and kept beside the data."""

import os
import secrets
from pathlib import Path


def kept_secret(data_dir: Path) -> str:
    """The key in `data_dir`, made on first use, readable by its owner alone."""
    path = data_dir / "secret_key"
    if not path.exists():
        half = data_dir / "secret_key.half"
        half.unlink(missing_ok=True)
        with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)
    return path.read_text().strip()
