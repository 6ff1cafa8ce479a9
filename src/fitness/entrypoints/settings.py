"""Settings: FITNESS_* in the environment, read once at start."""

import difflib
import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from fitness.entrypoints.setting_values import (
    MEMORY,
    Network,
    folder,
    ip_address,
    memory_or,
    networks,
    number_from_zero,
    objects_url,
    one_of,
    origins,
    postgres_url,
    redis_url,
    secret_keys,
    whole_number,
)
from fitness.ports.setup import BadSetup

PREFIX = "FITNESS_"

NOT_SET = -1

T = TypeVar("T")


class BadSettings(BadSetup):
    """Some settings cannot be used. The message has a line for each problem, which begins with the setting's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path("/var/lib/fitness")
    database_url: str | None = None
    """The URL of PostgreSQL, or MEMORY; None stands for the embedded engine."""
    migrate_database_url: str | None = None
    """The URL of PostgreSQL as the owner of the tables; None stands for `database_url`."""
    redis_url: str | None = None
    """The URL of the Redis for the cache, or MEMORY; None stands for the embedded engine."""
    state_redis_url: str | None = None
    """The URL of the Redis for limits and sessions; if it is not set, that of the cache."""
    limits_redis_url: str | None = None
    """The URL of the Redis for limits alone; if it is not set, `state_redis_url`."""
    workers: int = 1
    job_workers: int = 0
    """Processes of `fitness serve` that work off background jobs, beside the `workers`."""
    connections_per_address: int = 1_024
    """The most connections of one client address, in each worker process."""
    shutdown_delay_s: float = 0.0
    """The time between readiness saying `stopping` and the refusal of new connections."""
    secret_keys: tuple[str, ...] = ()
    """The first key signs access tokens, every key verifies them; empty stands for keys kept in the data folder."""
    trusted_proxies: tuple[Network, ...] = ()
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9100
    """0 stands for no listener for metrics."""
    metrics_allow: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"))
    cors_origins: tuple[str, ...] = ()
    """The origins of the sites whose pages may use the service from a browser; `*` stands for all."""
    rate_limit_scale: float = 1.0
    trash_days: int = 30
    metrics_dir: Path | None = None
    """The folder where processes exchange their metrics; None stands for one in the data folder, or a temporary one."""
    log_format: str = "text"
    objects_url: str | None = None
    """Where files are kept: file:///folder or s3://bucket/prefix; None stands for a folder in the data folder."""

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
        """The URL that connects to the database as the role that migrates it."""
        return self.migrate_database_url or self.database_url

    @property
    def kept_in(self) -> str:
        """`memory` or `stores`."""
        return "memory" if self.in_memory else "stores"


def read_settings(environment: Mapping[str, str], postgres_url_problem: Callable[[str], str | None]) -> Settings:
    """Raises BadSettings with every problem at once. `postgres_url_problem` says what is wrong with a URL, or None."""
    reading = _Reading(environment)
    default = Settings()
    settings = Settings(
        host=reading.one("HOST", ip_address, default.host),
        port=reading.one("PORT", whole_number(1, 65_535), default.port),
        data_dir=reading.one("DATA_DIR", folder, _default_data_dir(environment)),
        database_url=reading.one("DATABASE_URL", memory_or(postgres_url(postgres_url_problem)), None),
        migrate_database_url=reading.one("MIGRATE_DATABASE_URL", postgres_url(postgres_url_problem), None),
        redis_url=reading.one("REDIS_URL", memory_or(redis_url), None),
        state_redis_url=reading.one("STATE_REDIS_URL", redis_url, None),
        limits_redis_url=reading.one("LIMITS_REDIS_URL", redis_url, None),
        workers=reading.one("WORKERS", whole_number(1, 256), default.workers),
        job_workers=reading.one("JOB_WORKERS", whole_number(0, 16), NOT_SET),
        connections_per_address=reading.one(
            "CONNECTIONS_PER_ADDRESS", whole_number(1, 1_000_000), default.connections_per_address
        ),
        shutdown_delay_s=reading.one("SHUTDOWN_DELAY_S", number_from_zero, default.shutdown_delay_s),
        secret_keys=reading.one("SECRET_KEYS", secret_keys, ()),
        trusted_proxies=reading.one("TRUSTED_PROXIES", networks, default.trusted_proxies),
        metrics_host=reading.one("METRICS_HOST", ip_address, default.metrics_host),
        metrics_port=reading.one("METRICS_PORT", whole_number(0, 65_535), default.metrics_port),
        metrics_allow=reading.one("METRICS_ALLOW", networks, default.metrics_allow),
        cors_origins=reading.one("CORS_ORIGINS", origins, default.cors_origins),
        rate_limit_scale=reading.one("RATE_LIMIT_SCALE", number_from_zero, default.rate_limit_scale),
        trash_days=reading.one("TRASH_DAYS", whole_number(1, 3_650), default.trash_days),
        metrics_dir=reading.one("METRICS_DIR", folder, default.metrics_dir),
        log_format=reading.one("LOG_FORMAT", one_of("text", "json"), default.log_format),
        objects_url=reading.one("OBJECTS_URL", objects_url, None),
    )
    _refuse_halves(settings, reading)
    reading.finish()
    return replace(
        settings,
        state_redis_url=settings.state_redis_url or settings.redis_url,
        # Embedded engines are this service's alone, so nobody else works off its jobs.
        job_workers=int(settings.embedded) if settings.job_workers == NOT_SET else settings.job_workers,
    )


def _refuse_halves(settings: Settings, reading: "_Reading") -> None:
    """Refuse settings that are valid each by itself, but not together."""
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
        if settings.job_workers > 0:
            reading.refuse("JOB_WORKERS", f"is not used with {MEMORY}, where jobs run in the same process")
        unused = {
            "STATE_REDIS_URL": settings.state_redis_url,
            "LIMITS_REDIS_URL": settings.limits_redis_url,
            "OBJECTS_URL": settings.objects_url,
        }
        for name, url in unused.items():
            if url is not None:
                reading.refuse(name, f"is not used with {MEMORY}; leave it unset")
    elif settings.database_url is not None and not settings.secret_keys:
        reading.refuse("SECRET_KEYS", "is needed with FITNESS_DATABASE_URL; `openssl rand -hex 32` makes one")


class _Reading:
    """Reads settings from the environment and collects what is wrong with them."""

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
