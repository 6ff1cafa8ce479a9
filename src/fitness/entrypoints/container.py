"""The composition root: the one place that knows which adapter stands behind which port."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from signal import SIGKILL

from dependency_injector import containers, providers

from fitness.adapters.credentials.argon2 import Argon2PasswordHasher
from fitness.adapters.credentials.jwt import JwtAccessTokens
from fitness.adapters.embedded.engines import EnginesUnusable, EngineUrls, running_engines, running_urls
from fitness.adapters.embedded.secrets import kept_secret
from fitness.adapters.files.reader import FileRecordingReader
from fitness.adapters.guards.breaker import Breaker, GuardedRateLimiter
from fitness.adapters.guards.denials import DenialMemory
from fitness.adapters.memory.rate_limits import InMemoryRateLimiter
from fitness.adapters.observed.cache import ObservedCache
from fitness.adapters.observed.rate_limits import ObservedRateLimiter
from fitness.adapters.observed.timed import timed
from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.audit import PostgresAuditLog
from fitness.adapters.postgres.database import MAX_CONNECTIONS, Database
from fitness.adapters.postgres.diagnosis import PostgresDiagnosis
from fitness.adapters.postgres.logins import PostgresFailedLogins
from fitness.adapters.postgres.migration_runner import MigrationRefused, Migrations
from fitness.adapters.postgres.outbox import PostgresOutbox
from fitness.adapters.postgres.users import PostgresUserRepo
from fitness.adapters.redis.cache import RedisCache
from fitness.adapters.redis.client import connected
from fitness.adapters.redis.diagnosis import RedisDiagnosis, cache_rules, state_rules
from fitness.adapters.redis.rate_limits import RedisRateLimiter
from fitness.adapters.system.clock import SystemClock
from fitness.adapters.telemetry.exchange import MetricsExchange
from fitness.adapters.telemetry.instruments import Instruments
from fitness.adapters.telemetry.metrics import Metrics
from fitness.adapters.telemetry.sources import MetricSources
from fitness.adapters.telemetry.tracing import Tracing
from fitness.domain.use_cases.accounts import AccountService
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.administration import AdminService
from fitness.domain.use_cases.caching import KINDS, RECOVERY_ROUND_S, ROUND_S, CachedReads
from fitness.domain.use_cases.importing import ImportService
from fitness.domain.use_cases.limiting import Limits, LimitService
from fitness.entrypoints.settings import Settings
from fitness.foundation.parent_death import die_with_parent
from fitness.ports.health import DiagnosisPort, Finding, Verdict
from fitness.ports.outages import Outage

__all__ = [
    "Container",
    "EnginesUnusable",
    "MigrationRefused",
    "die_with_parent",
    "examined",
    "joined",
    "opened",
    "provisioned",
    "running",
]


SPARE_CONNECTIONS = 20
"""For the command line, migrations and people who look."""

_log = logging.getLogger(__name__)


class Container(containers.DeclarativeContainer):
    """Everything is made once, on first use; `running` opens and closes it."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    # Where an instance's processes tell each other their metrics; only a server needs one.
    metrics_dir: providers.Dependency[Path] = providers.Dependency(instance_of=Path)

    clock = providers.Singleton(SystemClock)
    database = providers.Singleton(Database, settings.provided.database_url)
    redis = providers.Singleton(connected, settings.provided.redis_url)
    metrics = providers.Singleton(Metrics)
    tracing = providers.Singleton(Tracing)
    instruments = providers.Singleton(Instruments, metrics)
    redis_cache = providers.Singleton(RedisCache, redis)
    cache = providers.Singleton(ObservedCache, redis_cache, tracing.provided.span)
    observed = partial(providers.Singleton, timed, record=instruments.provided.query, span=tracing.provided.span)
    activity_repo = observed(
        providers.Singleton(PostgresActivityRepo, database),
        "activities",
        then=providers.Dict(add=instruments.provided.activity_created, add_all=instruments.provided.activities_created),
    )
    user_repo = observed(
        providers.Singleton(PostgresUserRepo, database),
        "users",
        then=providers.Dict(add=instruments.provided.user_registered),
    )
    audit_log = observed(providers.Singleton(PostgresAuditLog, database), "audit")
    password_hasher = providers.Singleton(Argon2PasswordHasher)
    access_tokens = providers.Singleton(JwtAccessTokens, settings.provided.secret_keys, clock)
    recording_reader = providers.Singleton(
        FileRecordingReader, providers.Callable(lambda: partial(die_with_parent, os.getpid(), SIGKILL))
    )
    migrations = providers.Singleton(Migrations, settings.provided.database_url)

    outbox = observed(providers.Singleton(PostgresOutbox, database), "outbox")
    failed_logins = observed(providers.Singleton(PostgresFailedLogins, database), "logins")
    rate_limiter = providers.Singleton(
        ObservedRateLimiter,
        providers.Singleton(
            DenialMemory,
            providers.Singleton(
                GuardedRateLimiter, providers.Singleton(RedisRateLimiter, redis), providers.Singleton(Breaker)
            ),
        ),
        tracing.provided.span,
    )
    account_secret = providers.Callable(lambda keys: keys[0].encode(), settings.provided.secret_keys)

    cached_reads = providers.Singleton(CachedReads, cache, outbox)
    accounts = providers.Singleton(
        AccountService, user_repo, password_hasher, access_tokens, failed_logins, clock, account_secret
    )
    activities = providers.Singleton(
        ActivityService, activity_repo, user_repo, cached_reads, clock, settings.provided.trash_days
    )
    imports = providers.Singleton(ImportService, activity_repo, user_repo, cached_reads, recording_reader, clock)
    limits = providers.Singleton(
        LimitService,
        rate_limiter,
        providers.Singleton(InMemoryRateLimiter),
        user_repo,
        cached_reads,
        providers.Singleton(Limits, settings.provided.rate_limit_scale, settings.provided.workers, account_secret),
    )
    metric_sources = providers.Singleton(
        MetricSources, cache, providers.Object(KINDS), redis_cache, cached_reads, rate_limiter, outbox, database
    )
    metrics_exchange = providers.Singleton(MetricsExchange, metrics_dir, metrics.provided.render)
    administration = providers.Singleton(AdminService, activity_repo, user_repo, audit_log, cached_reads, clock)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Container]:
    """A container whose connections are open. `settings` names real engines: see `provisioned` and `joined`."""
    container = Container(settings=settings)
    async with opened(container):
        yield container


@asynccontextmanager
async def opened(container: Container) -> AsyncIterator[None]:
    """Whatever holds connections, threads or processes is open within, and closed after."""
    await container.database().open()
    await _round(container.cached_reads(), tell=True)
    background = [
        asyncio.create_task(_rounds(container.cached_reads())),
        asyncio.create_task(container.instruments().sample(container.metric_sources())),
    ]
    try:
        yield
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        container.metrics().close()
        await asyncio.to_thread(container.tracing().close)
        container.recording_reader().close()
        container.password_hasher().close()
        await asyncio.gather(container.redis().aclose(), container.database().close())


async def _rounds(reads: CachedReads) -> None:
    last_s = time.monotonic()
    while True:
        await asyncio.sleep(RECOVERY_ROUND_S)
        if not reads.believed or time.monotonic() - last_s >= ROUND_S:
            await _round(reads, tell=reads.believed)  # an outage is news once
            last_s = time.monotonic()


async def _round(reads: CachedReads, *, tell: bool) -> None:
    try:
        await reads.look_after_debts()
    except Outage as outage:
        if tell:
            _log.warning("the cache is gone round until it answers and its debts are paid: %s", outage)
    except Exception:  # noqa: BLE001 - the rounds have to go on
        _log.exception("looking after the cache's debts failed; the next round tries again")


@contextmanager
def provisioned(settings: Settings, *, engine_ended: Callable[[str], None] = lambda _: None) -> Iterator[Settings]:
    """`settings` with engines to use: those that are set, else embedded ones for as long as the context lasts.

    `engine_ended` is told, on a thread of its own, the name of an embedded one that ended before its time.
    """
    if not settings.embedded:
        yield settings
        return
    connections = settings.workers * MAX_CONNECTIONS + SPARE_CONNECTIONS
    with running_engines(settings.data_dir, connections=connections, ended=engine_ended) as urls:
        yield _on(settings, urls)


@contextmanager
def joined(settings: Settings) -> Iterator[Settings]:
    """As `provisioned`, but beside a service that already runs on the same data folder."""
    urls = running_urls(settings.data_dir) if settings.embedded else None
    if urls is not None:
        yield _on(settings, urls)
        return
    with provisioned(settings) as complete:
        yield complete


async def examined(settings: Settings) -> dict[str, list[Finding]]:
    """What there is to say about each store that `settings` name."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    cache, state = connected(settings.redis_url), connected(settings.state_redis_url or settings.redis_url)
    migrations = Migrations(settings.database_url)
    diagnoses: dict[str, DiagnosisPort] = {
        "PostgreSQL": PostgresDiagnosis(settings.database_url, migrations, settings.workers),
        "cache Redis": RedisDiagnosis(cache, cache_rules),
        "state Redis": RedisDiagnosis(state, state_rules),
    }
    try:
        found = {store: [*await diagnosis.diagnose()] for store, diagnosis in diagnoses.items()}
    finally:
        await asyncio.gather(cache.aclose(), state.aclose())
    if settings.state_redis_url in (None, settings.redis_url):
        shared = "it is the cache's as well: what makes room for copies takes sessions; set FITNESS_STATE_REDIS_URL"
        found["state Redis"] = [Finding(Verdict.DOUBTFUL, shared)]
    return found


def _on(settings: Settings, urls: EngineUrls) -> Settings:
    keys = settings.secret_keys or (kept_secret(Path(settings.data_dir)),)
    return replace(
        settings,
        database_url=urls.database_url,
        redis_url=urls.redis_url,
        state_redis_url=settings.state_redis_url or urls.state_redis_url,
        secret_keys=keys,
    )
