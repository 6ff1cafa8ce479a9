"""Settings: FITNESS_* in the environment, read once at start."""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from fitness.ports.setup import BadSetup

PREFIX = "FITNESS_"
MIN_SECRET_LENGTH = 32

LEAST_KINDS_IN_SECRET = 8
"""Of characters. One in a million random hexadecimal keys of 32 digits has fewer."""

_TYPED = ("change", "default", "example", "fitness", "insecure", "password", "secret", "test", "1234567890")

MEMORY = "memory:"
"""In place of both URLs: everything is kept in the memory of one process, and nothing of it after."""

_REDIS = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
_HOST_AND_PORT = re.compile(r"[^:/?#\s]+:\d{1,5}")

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadSettings(BadSetup):
    """Some settings cannot be used; the message has a line for each, which begins with its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path("/var/lib/fitness")
    database_url: str | None = None
    """PostgreSQL's, or MEMORY; None stands for the embedded one."""
    migrate_database_url: str | None = None
    """PostgreSQL's, as the owner of the tables; None stands for `database_url`."""
    redis_url: str | None = None
    """The cache's, or MEMORY; None stands for the embedded one."""
    state_redis_url: str | None = None
    """The limits' and the sessions'; where none is set, the cache's."""
    limits_redis_url: str | None = None
    """The limits' alone; where none is set, the state's."""
    workers: int = 1
    connections_per_address: int = 1_024
    """Of one client's address, in each worker process."""
    shutdown_delay_s: float = 0.0
    """Between saying that the service stops and refusing connections."""
    secret_keys: tuple[str, ...] = ()
    """The first signs access tokens, each verifies them; empty stands for one kept in the data folder."""
    trusted_proxies: tuple[Network, ...] = ()
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9100
    """0 is no listener for metrics."""
    metrics_allow: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"))
    rate_limit_scale: float = 1.0
    trash_days: int = 30
    metrics_dir: Path | None = None
    """Where processes exchange their metrics; None stands for one in the data folder, or a temporary one."""
    log_format: str = "text"

    @property
    def embedded(self) -> bool:
        return self.database_url is None

    @property
    def in_memory(self) -> bool:
        return self.database_url == MEMORY

    def completed(
        self, *, database_url: str, redis_url: str, state_redis_url: str, secret_keys: tuple[str, ...]
    ) -> "CompleteSettings":
        rest = {field.name: getattr(self, field.name) for field in fields(Settings)}
        rest |= {"database_url": database_url, "redis_url": redis_url, "state_redis_url": state_redis_url}
        rest |= {"limits_redis_url": self.limits_redis_url or state_redis_url}
        return CompleteSettings(**rest | {"secret_keys": secret_keys})


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteSettings(Settings):
    """Settings that name every store to run on, embedded or not."""

    database_url: str
    redis_url: str
    state_redis_url: str
    limits_redis_url: str
    secret_keys: tuple[str, ...]

    @property
    def owner_url(self) -> str:
        """Connects to the database as the role that migrates it."""
        return self.migrate_database_url or self.database_url

    @property
    def kept_in(self) -> str:
        """`memory` or `stores`."""
        return "memory" if self.in_memory else "stores"


def read_settings(environment: Mapping[str, str], postgres_url_problem: Callable[[str], str | None]) -> Settings:
    """Raises BadSettings with every problem at once. `postgres_url_problem` says what is wrong with a URL."""
    reading = _Reading(environment)
    default = Settings()
    settings = Settings(
        host=reading.one("HOST", _ip_address, default.host),
        port=reading.one("PORT", _whole_number(1, 65_535), default.port),
        data_dir=reading.one("DATA_DIR", _folder, _default_data_dir(environment)),
        database_url=reading.one("DATABASE_URL", _memory_or(_postgres_url(postgres_url_problem)), None),
        migrate_database_url=reading.one("MIGRATE_DATABASE_URL", _postgres_url(postgres_url_problem), None),
        redis_url=reading.one("REDIS_URL", _memory_or(_redis_url), None),
        state_redis_url=reading.one("STATE_REDIS_URL", _redis_url, None),
        limits_redis_url=reading.one("LIMITS_REDIS_URL", _redis_url, None),
        workers=reading.one("WORKERS", _whole_number(1, 256), default.workers),
        connections_per_address=reading.one(
            "CONNECTIONS_PER_ADDRESS", _whole_number(1, 1_000_000), default.connections_per_address
        ),
        shutdown_delay_s=reading.one("SHUTDOWN_DELAY_S", _number_from_zero, default.shutdown_delay_s),
        secret_keys=reading.one("SECRET_KEYS", _secret_keys, ()),
        trusted_proxies=reading.one("TRUSTED_PROXIES", _networks, default.trusted_proxies),
        metrics_host=reading.one("METRICS_HOST", _ip_address, default.metrics_host),
        metrics_port=reading.one("METRICS_PORT", _whole_number(0, 65_535), default.metrics_port),
        metrics_allow=reading.one("METRICS_ALLOW", _networks, default.metrics_allow),
        rate_limit_scale=reading.one("RATE_LIMIT_SCALE", _number_from_zero, default.rate_limit_scale),
        trash_days=reading.one("TRASH_DAYS", _whole_number(1, 3_650), default.trash_days),
        metrics_dir=reading.one("METRICS_DIR", _folder, default.metrics_dir),
        log_format=reading.one("LOG_FORMAT", _one_of("text", "json"), default.log_format),
    )
    _refuse_halves(settings, reading)
    reading.finish()
    return replace(settings, state_redis_url=settings.state_redis_url or settings.redis_url)


def _refuse_halves(settings: Settings, reading: "_Reading") -> None:
    """Refuse settings that are sound in themselves and do not go together."""
    if (settings.database_url is None) != (settings.redis_url is None):
        missing = "REDIS_URL" if settings.redis_url is None else "DATABASE_URL"
        reading.refuse(missing, "is needed with the other URL; without both, the service runs its own engines")
    elif settings.in_memory != (settings.redis_url == MEMORY):
        other = "REDIS_URL" if settings.in_memory else "DATABASE_URL"
        reading.refuse(other, f"must be {MEMORY} too; either both URLs are, or neither")
    if settings.migrate_database_url is not None and (settings.embedded or settings.in_memory):
        reading.refuse("MIGRATE_DATABASE_URL", "is for the database of a FITNESS_DATABASE_URL; leave it unset")
    if settings.in_memory:
        if settings.workers > 1:
            reading.refuse("WORKERS", f"must be 1 with {MEMORY}: processes share no memory")
        for name, url in (("STATE", settings.state_redis_url), ("LIMITS", settings.limits_redis_url)):
            if url is not None:
                reading.refuse(f"{name}_REDIS_URL", f"is not used with {MEMORY}; leave it unset")
    elif settings.database_url is not None and not settings.secret_keys:
        reading.refuse("SECRET_KEYS", "is needed with FITNESS_DATABASE_URL; `openssl rand -hex 32` makes one")


class _Reading:
    """Takes settings out of the environment and notes what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._left = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
        self._known: list[str] = []
        self._problems: list[str] = []

    def one(self, name: str, parse: Callable[[str], T], default: T) -> T:
        self._known.append(PREFIX + name)
        text = self._left.pop(PREFIX + name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.refuse(name, str(error))
            return default

    def refuse(self, name: str, why: str) -> None:
        self._problems.append(f"{PREFIX}{name} {why}")

    def finish(self) -> None:
        for name in sorted(self._left):
            near = difflib.get_close_matches(name, self._known, n=1)
            self._problems.append(f"{name} is not a setting" + (f"; is {near[0]} meant?" if near else ""))
        if self._problems:
            raise BadSettings("\n".join(self._problems))


def _default_data_dir(environment: Mapping[str, str]) -> Path:
    if os.geteuid() == 0:
        return Settings().data_dir
    shared = environment.get("XDG_DATA_HOME") or Path(environment.get("HOME", "/")) / ".local" / "share"
    return Path(shared) / "fitness"


def _ip_address(text: str) -> str:
    if text == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError as error:
        raise ValueError(f"must be an IP address to listen on, not {text!r}") from error


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def _number_from_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1_000_000:
        raise ValueError(f"must be a number from 0 to 1000000, not {text!r}")
    return number


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}, not {text!r}")
        return text

    return parse


# What is wrong with a URL is said without repeating the URL, which may hold a password.


def _memory_or(parse: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: text if text == MEMORY else parse(text)


def _postgres_url(problem_of: Callable[[str], str | None]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if problem := problem_of(text):
            raise ValueError(problem)
        return text

    return parse


def _redis_url(text: str) -> str:
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


def _secret_keys(text: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in text.split(","))
    if any(len(key) < MIN_SECRET_LENGTH for key in keys):
        raise ValueError(f"must be keys of at least {MIN_SECRET_LENGTH} characters, set apart by commas")
    if any(_is_weak(key) for key in keys):
        raise ValueError("must be random; `openssl rand -hex 32` makes one")
    if len({*keys}) < len(keys):
        raise ValueError("must be keys that differ")
    return keys


def _is_weak(key: str) -> bool:
    """A text that somebody typed, or a default of somebody's manual. What is random has more kinds of characters."""
    return len({*key}) < LEAST_KINDS_IN_SECRET or any(word in key.lower() for word in _TYPED)


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
