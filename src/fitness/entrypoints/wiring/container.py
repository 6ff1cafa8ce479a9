"""Which adapter stands behind which port. Providers only: what opens and closes them is in lifecycle.py."""

import os
from functools import partial
from pathlib import Path
from signal import SIGKILL

from dependency_injector import containers, providers

from fitness.adapters.credentials.argon2 import Argon2PasswordHasher
from fitness.adapters.credentials.jwt import JwtAccessTokens, JwtDeviceTokens
from fitness.adapters.credentials.refresh import HmacRefreshTokens
from fitness.adapters.credentials.reset import HmacResetTokens
from fitness.adapters.files.reader import FileRecordingReader
from fitness.adapters.guards.denials import DenialMemory
from fitness.adapters.memory.activities import InMemoryActivityRepo
from fitness.adapters.memory.api_keys import InMemoryApiKeys
from fitness.adapters.memory.audit import InMemoryAuditLog
from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.cache_state import InMemoryCacheState
from fitness.adapters.memory.database import InMemoryDatabase, NoMigrations
from fitness.adapters.memory.logins import InMemoryLoginHistory
from fitness.adapters.memory.outbox import InMemoryOutbox
from fitness.adapters.memory.rate_limits import InMemoryRateLimiter
from fitness.adapters.memory.sessions import InMemorySessionStore
from fitness.adapters.memory.standings import InMemoryStandings
from fitness.adapters.memory.statistics import InMemoryStatisticsRepo
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.tags import InMemoryTagRepo
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.adapters.observed.cache import ObservedCache
from fitness.adapters.observed.cache_state import ObservedCacheState
from fitness.adapters.observed.rate_limits import ObservedRateLimiter
from fitness.adapters.observed.reads import ReadCounts
from fitness.adapters.observed.timed import timed
from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.api_keys import PostgresApiKeys
from fitness.adapters.postgres.audit import PostgresAuditLog
from fitness.adapters.postgres.cache_state import PostgresCacheState
from fitness.adapters.postgres.database import Database, lease_database
from fitness.adapters.postgres.logins import PostgresLoginHistory
from fitness.adapters.postgres.migration_runner import Migrations
from fitness.adapters.postgres.outbox import PostgresOutbox
from fitness.adapters.postgres.schema import SchemaProbe
from fitness.adapters.postgres.standings import PostgresStandings
from fitness.adapters.postgres.statistics import PostgresStatisticsRepo
from fitness.adapters.postgres.tags import PostgresTagRepo
from fitness.adapters.postgres.users import PostgresUserRepo
from fitness.adapters.redis.cache import RedisCache
from fitness.adapters.redis.client import closed, line_to
from fitness.adapters.redis.line import PATIENT_DEADLINE_S
from fitness.adapters.redis.rate_limits import RedisRateLimiter
from fitness.adapters.redis.sessions import RedisSessionStore
from fitness.adapters.system.clock import SystemClock
from fitness.adapters.telemetry.exchange import MetricsExchange
from fitness.adapters.telemetry.instruments import Instruments
from fitness.adapters.telemetry.metrics import Metrics
from fitness.adapters.telemetry.sources import MetricSources
from fitness.adapters.telemetry.tracing import Tracing
from fitness.domain.use_cases.accounts import AccountService
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.administration import AdminService
from fitness.domain.use_cases.api_keys import ApiKeyService
from fitness.domain.use_cases.caching.invalidation import Changes, OutboxRelay
from fitness.domain.use_cases.caching.keys import KINDS
from fitness.domain.use_cases.caching.lease import Lease
from fitness.domain.use_cases.caching.reads import CachedReads
from fitness.domain.use_cases.importing import ImportService
from fitness.domain.use_cases.limiting import Limits, LimitService
from fitness.domain.use_cases.logins import LoginAttempts
from fitness.domain.use_cases.sessions import SessionService
from fitness.domain.use_cases.statistics import StatisticsService
from fitness.domain.use_cases.tags import TagService
from fitness.entrypoints.logs import AccessLog
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.resources import Resources
from fitness.foundation.parent_death import die_with_parent


class Container(containers.DeclarativeContainer):
    """Everything is made once, on first use."""

    settings: providers.Dependency[CompleteSettings] = providers.Dependency(instance_of=CompleteSettings)
    # Where the processes of an instance exchange their metrics; only a process that serves them needs one.
    metrics_dir: providers.Dependency[Path] = providers.Dependency(instance_of=Path)

    once = providers.Singleton
    resources = once(Resources)
    kept = partial(once, Resources.keep, resources)
    either = partial(providers.Selector, settings.provided.kept_in)

    clock = once(SystemClock)
    access_log = kept(AccessLog.flush, AccessLog)
    metrics = kept(Metrics.close, Metrics)
    instruments = once(Instruments, metrics)
    tracing = kept(Tracing.aclose, Tracing)
    span = tracing.provided.span
    observed = partial(once, timed, record=instruments.provided.query, span=span)

    store = once(InMemoryStore)
    postgres = kept(Database.close, Database, settings.provided.database_url)
    database = either(memory=once(InMemoryDatabase), stores=postgres)
    database_probe = either(memory=database, stores=once(SchemaProbe, postgres))
    # Apart from the other pool, so that the lease is renewed while all of its connections are busy.
    postgres_for_leases = kept(Database.close, lease_database, settings.provided.database_url)
    lease_database = either(memory=once(InMemoryDatabase), stores=postgres_for_leases)
    schema = once(Migrations, settings.provided.owner_url, service_url=settings.provided.database_url)
    migrations = either(memory=once(NoMigrations), stores=schema)
    activity_repo = observed(
        either(memory=once(InMemoryActivityRepo, store), stores=once(PostgresActivityRepo, postgres)),
        "activities",
        then=providers.Dict(add=instruments.provided.activity_created, add_all=instruments.provided.activities_created),
    )
    user_repo = observed(
        either(memory=once(InMemoryUserRepo, store), stores=once(PostgresUserRepo, postgres)),
        "users",
        then=providers.Dict(add=instruments.provided.user_registered),
    )
    statistics_repo = observed(
        either(memory=once(InMemoryStatisticsRepo, store), stores=once(PostgresStatisticsRepo, postgres)), "statistics"
    )
    tag_repo = observed(either(memory=once(InMemoryTagRepo, store), stores=once(PostgresTagRepo, postgres)), "tags")
    audit_log = observed(either(memory=once(InMemoryAuditLog, store), stores=once(PostgresAuditLog, postgres)), "audit")
    outbox = observed(either(memory=once(InMemoryOutbox, store), stores=once(PostgresOutbox, postgres)), "outbox")
    login_history = observed(
        either(memory=once(InMemoryLoginHistory), stores=once(PostgresLoginHistory, postgres)), "logins"
    )

    standings = observed(
        either(memory=once(InMemoryStandings, store), stores=once(PostgresStandings, postgres)), "standings"
    )

    api_key_repo = observed(
        either(memory=once(InMemoryApiKeys, store), stores=once(PostgresApiKeys, postgres)), "api_keys"
    )
    api_keys = once(ApiKeyService, api_key_repo, clock)

    redis_cache = once(RedisCache, kept(closed, line_to, settings.provided.redis_url))
    cache_store = either(memory=once(InMemoryCache), stores=redis_cache)
    cache = once(ObservedCache, cache_store, span)
    limits_line = kept(closed, line_to, settings.provided.limits_redis_url)
    shared_limiter = either(memory=once(InMemoryRateLimiter), stores=once(RedisRateLimiter, limits_line))
    rate_limiter = once(
        ObservedRateLimiter,
        once(DenialMemory, shared_limiter),
        span,
    )

    state_line = kept(closed, line_to, settings.provided.state_redis_url, PATIENT_DEADLINE_S)
    session_store = either(memory=once(InMemorySessionStore), stores=once(RedisSessionStore, state_line))

    local_limiter = once(InMemoryRateLimiter)

    password_hasher = kept(Argon2PasswordHasher.close, Argon2PasswordHasher)
    access_tokens = once(JwtAccessTokens, settings.provided.secret_keys, clock)
    refresh_tokens = once(HmacRefreshTokens, settings.provided.secret_keys)
    reset_tokens = once(HmacResetTokens, settings.provided.secret_keys)
    device_tokens = once(JwtDeviceTokens, settings.provided.secret_keys, clock)
    account_secret = providers.Callable(lambda keys: keys[0].encode(), settings.provided.secret_keys)
    end_with_this_process = providers.Callable(lambda: partial(die_with_parent, os.getpid(), SIGKILL))
    recording_reader = kept(FileRecordingReader.close, FileRecordingReader, end_with_this_process)

    cache_state = once(
        ObservedCacheState,
        either(memory=once(InMemoryCacheState, store), stores=once(PostgresCacheState, postgres, postgres_for_leases)),
    )
    lease = once(Lease, cache_state)
    read_counts = once(ReadCounts)
    cached_reads = once(CachedReads, cache, lease, read_counts)
    changes = once(Changes, cache, cache_state, lease)
    outbox_relay = once(OutboxRelay, cache, outbox, cache_state, lease, changes)
    activities = once(
        ActivityService, activity_repo, user_repo, cached_reads, changes, clock, settings.provided.trash_days
    )
    statistics = once(StatisticsService, statistics_repo, user_repo, cached_reads, clock)
    tags = once(TagService, tag_repo, cached_reads, changes, clock)
    imports = once(ImportService, activity_repo, user_repo, changes, recording_reader, clock)
    administration = once(AdminService, activity_repo, user_repo, audit_log, reset_tokens, changes, clock)
    limits = once(
        LimitService,
        rate_limiter,
        local_limiter,
        standings,
        clock,
        cached_reads,
        once(Limits, settings.provided.rate_limit_scale, settings.provided.workers),
    )
    login_attempts = once(LoginAttempts, login_history, limits, device_tokens, clock, account_secret)
    sessions = once(SessionService, session_store, standings, access_tokens, refresh_tokens, changes, clock)
    accounts = once(AccountService, user_repo, password_hasher, reset_tokens, sessions, login_attempts, changes, clock)

    metric_sources = once(
        MetricSources,
        cache,
        read_counts,
        providers.Object(KINDS),
        cache_store,
        lease,
        cache_state,
        rate_limiter,
        outbox,
        database,
    )
    metrics_exchange = once(MetricsExchange, metrics_dir, metrics.provided.render)
