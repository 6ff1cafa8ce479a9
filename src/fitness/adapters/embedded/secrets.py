"""The keys that sign tokens, made once and kept beside the data."""

import os
import secrets
from pathlib import Path

MOST_KEPT = 2
"""Keys that are kept: the first one signs; tokens that the second one signed are valid until the next rotation."""


def kept_secrets(data_dir: Path) -> tuple[str, ...]:
    """The keys in `data_dir`, the first one made on first use; readable by their owner alone."""
    path = _path(data_dir)
    if not path.exists():
        _write(path, [_new_key()])
    return tuple(path.read_text().split())


def rotate_secrets(data_dir: Path) -> None:
    """Put a new key in front of the signing one, without a wait: one service reads the keys, when it starts."""
    keys = [_new_key(), *kept_secrets(data_dir)]
    _write(_path(data_dir), keys[:MOST_KEPT])


def _path(data_dir: Path) -> Path:
    return data_dir / "secret_key"


def _new_key() -> str:
    return secrets.token_hex(32)


def _write(path: Path, keys: list[str]) -> None:
    """Write the keys in one step, so that a crash leaves the old keys or the new ones."""
    half = path.with_suffix(".half")
    half.unlink(missing_ok=True)
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    half.rename(path)
