"""The stores to run on: those that the settings name, or embedded engines."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fitness.adapters.embedded.engines import EngineUrls, running_engines, running_urls
from fitness.adapters.embedded.secrets import kept_secrets, rotate_secrets
from fitness.adapters.postgres.database import CONNECTIONS_OF_A_PROCESS
from fitness.adapters.postgres.pools import CONNECTIONS_OF_A_WORKER
from fitness.adapters.postgres.urls import url_problem
from fitness.entrypoints.setting_values import MEMORY
from fitness.entrypoints.settings import CompleteSettings, Settings, read_settings
from fitness.ports.setup import BadSetup

SPARE_CONNECTIONS = 20
"""Connections to PostgreSQL for the command line, migrations and people who look into the database."""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Raises BadSettings with every problem at once."""
    return read_settings(environment, url_problem)


@contextmanager
def with_engines(
    settings: Settings, *, engine_ended: Callable[[str], None] = lambda _: None
) -> Iterator[CompleteSettings]:
    """`settings` with stores to use: those that are set, or embedded engines for as long as the context lasts.

    `engine_ended` is called, on a thread of its own, with the name of an engine that ended unexpectedly.
    """
    if settings.in_memory:
        keys = settings.secret_keys or (secrets.token_hex(32),)
        yield settings.completed(database_url=MEMORY, redis_url=MEMORY, state_redis_url=MEMORY, secret_keys=keys)
        return
    if settings.database_url is not None and settings.redis_url is not None:
        yield settings.completed(
            database_url=settings.database_url,
            redis_url=settings.redis_url,
            state_redis_url=settings.state_redis_url or settings.redis_url,
            secret_keys=settings.secret_keys,
        )
        return
    connections = connections_of(settings) + SPARE_CONNECTIONS
    with running_engines(settings.data_dir, connections=connections, ended=engine_ended) as urls:
        yield _on(settings, urls)


def connections_of(settings: Settings, *, at_least_one_worker: bool = False) -> int:
    """How many connections to PostgreSQL `fitness serve` may hold. With `at_least_one_worker`, those of a job worker
    beside it are counted if it has none itself.
    """
    job_workers = max(settings.job_workers, int(at_least_one_worker))
    return settings.workers * CONNECTIONS_OF_A_PROCESS + job_workers * CONNECTIONS_OF_A_WORKER


@contextmanager
def with_running_engines(settings: Settings) -> Iterator[CompleteSettings]:
    """As `with_engines`, but shares the engines of a service that already runs on the same data folder."""
    urls = running_urls(settings.data_dir) if settings.embedded else None
    if urls is not None:
        yield _on(settings, urls)
        return
    with with_engines(settings) as complete:
        yield complete


def rotate_kept_keys(data_dir: Path) -> None:
    """Raises BadSetup if there is no data folder, or the folder belongs to somebody else."""
    try:
        rotate_secrets(data_dir)
    except OSError as error:
        raise BadSetup(f"the keys in {data_dir} cannot be changed: {error.strerror}") from error


def _on(settings: Settings, urls: EngineUrls) -> CompleteSettings:
    metrics_dir = settings.metrics_dir or settings.data_dir / "metrics"
    own = replace(settings, metrics_dir=metrics_dir, migrate_database_url=urls.owner_database_url)
    return own.completed(
        database_url=urls.database_url,
        redis_url=urls.redis_url,
        state_redis_url=settings.state_redis_url or urls.state_redis_url,
        secret_keys=settings.secret_keys or kept_secrets(settings.data_dir),
    )
