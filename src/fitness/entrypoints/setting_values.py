"""Parsers for the texts of settings. Each raises ValueError, whose message says what the text must be."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

MIN_SECRET_LENGTH = 32

LEAST_KINDS_IN_SECRET = 8
"""The fewest different characters in a secret. One in a million random keys of 32 hexadecimal digits has fewer."""

_TYPED = ("change", "default", "example", "fitness", "insecure", "password", "secret", "test", "1234567890")

MEMORY = "memory:"
"""In place of both URLs: everything is kept in the memory of one process, and is lost when the process ends."""

_REDIS = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
_HOST_AND_PORT = re.compile(r"[^:/?#\s]+:\d{1,5}")
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?|\*")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def ip_address(text: str) -> str:
    if text == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError as error:
        raise ValueError(f"must be an IP address to listen on, not {text!r}") from error


def folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def number_from_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1_000_000:
        raise ValueError(f"must be a number from 0 to 1000000, not {text!r}")
    return number


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}, not {text!r}")
        return text

    return parse


# Messages about a URL do not repeat the URL, which may hold a password.


def memory_or(parse: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: text if text == MEMORY else parse(text)


def postgres_url(problem_of: Callable[[str], str | None]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if problem := problem_of(text):
            raise ValueError(problem)
        return text

    return parse


def redis_url(text: str) -> str:
    scheme = text.partition("://")[0]
    if scheme == "unix":
        return text
    if scheme in ("redis+sentinel", "redis+cluster"):
        hosts = urlsplit(text).netloc.rpartition("@")[2].split(",")
        if not all(_HOST_AND_PORT.fullmatch(host) for host in hosts):
            raise ValueError("must name every server as host:port, set apart by commas")
        if scheme == "redis+sentinel" and not urlsplit(text).path.strip("/"):
            raise ValueError(f"must name the primary: {scheme}://host:port/primary")
        return text
    if scheme not in ("redis", "rediss"):
        raise ValueError(f"must begin with {', '.join(f'{name}://' for name in _REDIS)}")
    try:
        port = urlsplit(text).port
    except ValueError:
        port = 0
    if port == 0 or not re.fullmatch(r"/?\d*", urlsplit(text).path):
        raise ValueError("must look like redis://host:port/number")
    return text


def objects_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme == "file" and not url.netloc and url.path.startswith("/"):
        return text
    if url.scheme != "s3" or not url.netloc or url.query or url.fragment:
        raise ValueError("must look like file:///folder or s3://bucket/prefix")
    return text


def secret_keys(text: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in text.split(","))
    if any(len(key) < MIN_SECRET_LENGTH for key in keys):
        raise ValueError(f"must be keys of at least {MIN_SECRET_LENGTH} characters, set apart by commas")
    if any(_is_weak(key) for key in keys):
        raise ValueError("must be random; `openssl rand -hex 32` makes one")
    if len({*keys}) < len(keys):
        raise ValueError("must be keys that differ")
    return keys


def _is_weak(key: str) -> bool:
    """Whether the key looks typed, or copied from a manual. A random key has more different characters."""
    return len({*key}) < LEAST_KINDS_IN_SECRET or any(word in key.lower() for word in _TYPED)


def networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))


def origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().removesuffix("/").lower() for part in text.split(","))
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("must be origins such as https://app.example.org, set apart by commas, or * for all")
    return origins
