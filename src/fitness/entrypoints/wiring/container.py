"""Which adapter stands behind which port. Providers only: lifecycle.py opens and closes what they provide."""

import os
from functools import partial
from signal import SIGKILL
from time import monotonic

from dependency_injector import providers

from fitness.adapters.credentials.argon2 import Argon2PasswordHasher
from fitness.adapters.credentials.exports import HmacExportTokens
from fitness.adapters.credentials.jwt import JwtAccessTokens, JwtDeviceTokens
from fitness.adapters.credentials.refresh import HmacRefreshTokens
from fitness.adapters.credentials.reset import HmacResetTokens
from fitness.adapters.files.reader import FileRecordingReader
from fitness.adapters.guards.denials import DenialMemory
from fitness.adapters.jobs.worker import ProcrastinateWorker
from fitness.adapters.memory.activities import InMemoryActivityRepo
from fitness.adapters.memory.api_keys import InMemoryApiKeys
from fitness.adapters.memory.audit import InMemoryAuditLog
from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.cache_state import InMemoryCacheState
from fitness.adapters.memory.changes import InMemoryChangeLog
from fitness.adapters.memory.exports import InMemoryExportRepo
from fitness.adapters.memory.jobs import InMemoryJobQueue, InMemoryWorker
from fitness.adapters.memory.live import InMemoryPlaces, InMemoryTickets
from fitness.adapters.memory.logins import InMemoryLoginHistory
from fitness.adapters.memory.objects import InMemoryObjectNames, InMemoryObjectStore
from fitness.adapters.memory.originals import InMemoryOriginalRepo
from fitness.adapters.memory.outbox import InMemoryOutbox
from fitness.adapters.memory.photos import InMemoryPhotoRepo
from fitness.adapters.memory.rate_limits import InMemoryRateLimiter
from fitness.adapters.memory.sessions import InMemorySessionStore
from fitness.adapters.memory.standings import InMemoryStandings
from fitness.adapters.memory.statistics import InMemoryStatisticsRepo
from fitness.adapters.memory.tags import InMemoryTagRepo
from fitness.adapters.memory.upkeep import InMemoryUpkeepRepo
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.adapters.memory.wake_ups import InMemoryWakeUps
from fitness.adapters.objects.store import objects_at
from fitness.adapters.observed.cache import ObservedCache
from fitness.adapters.observed.cache_state import ObservedCacheState
from fitness.adapters.observed.jobs import ObservedJobs
from fitness.adapters.observed.rate_limits import ObservedRateLimiter
from fitness.adapters.observed.reads import ReadCounts
from fitness.adapters.pictures.reader import PillowPictureReader
from fitness.adapters.postgres.activities import PostgresActivityRepo
from fitness.adapters.postgres.api_keys import PostgresApiKeys
from fitness.adapters.postgres.audit import PostgresAuditLog
from fitness.adapters.postgres.cache_state import PostgresCacheState
from fitness.adapters.postgres.changes import PostgresChangeLog
from fitness.adapters.postgres.exports import PostgresExportRepo
from fitness.adapters.postgres.jobs import PostgresJobQueue
from fitness.adapters.postgres.logins import PostgresLoginHistory
from fitness.adapters.postgres.objects import PostgresObjectNames
from fitness.adapters.postgres.originals import PostgresOriginalRepo
from fitness.adapters.postgres.outbox import PostgresOutbox
from fitness.adapters.postgres.photos import PostgresPhotoRepo
from fitness.adapters.postgres.pools import job_pool
from fitness.adapters.postgres.standings import PostgresStandings
from fitness.adapters.postgres.statistics import PostgresStatisticsRepo
from fitness.adapters.postgres.tags import PostgresTagRepo
from fitness.adapters.postgres.upkeep import PostgresUpkeepRepo
from fitness.adapters.postgres.users import PostgresUserRepo
from fitness.adapters.redis.cache import RedisCache
from fitness.adapters.redis.client import PATIENT_DEADLINE_S, closed, line_to
from fitness.adapters.redis.live import RedisPlaces, RedisTickets
from fitness.adapters.redis.rate_limits import RedisRateLimiter
from fitness.adapters.redis.sessions import RedisSessionStore
from fitness.adapters.redis.wake_ups import RedisWakeUps
from fitness.adapters.telemetry.exchange import MetricsExchange
from fitness.adapters.telemetry.sources import MetricSources
from fitness.domain.model.changes import ChangeKind
from fitness.domain.use_cases.accounts import AccountService
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.administration import AdminService
from fitness.domain.use_cases.api_keys import ApiKeyService
from fitness.domain.use_cases.background import BackgroundService
from fitness.domain.use_cases.caching.invalidation import Changes, OutboxRelay
from fitness.domain.use_cases.caching.keys import KINDS
from fitness.domain.use_cases.caching.lease import Lease
from fitness.domain.use_cases.caching.reads import CachedReads
from fitness.domain.use_cases.changes import ChangeService
from fitness.domain.use_cases.exporting import ExportService
from fitness.domain.use_cases.importing import ImportService
from fitness.domain.use_cases.limiting import LimitService
from fitness.domain.use_cases.live import LiveFeed
from fitness.domain.use_cases.live_access import LiveAccess
from fitness.domain.use_cases.local_limits import LocalLimits
from fitness.domain.use_cases.logins import LoginAttempts
from fitness.domain.use_cases.originals import ObjectSweep, OriginalService
from fitness.domain.use_cases.photos import PhotoService
from fitness.domain.use_cases.rereading import RereadService
from fitness.domain.use_cases.sessions import SessionService
from fitness.domain.use_cases.statistics import StatisticsService
from fitness.domain.use_cases.tags import TagService
from fitness.domain.use_cases.upkeep import UpkeepService
from fitness.entrypoints.wiring.groundwork import Groundwork
from fitness.foundation.parent_death import die_with_parent


class Container(Groundwork):
    """The adapters, and the use cases on them."""

    settings = Groundwork.settings
    metrics_dir = Groundwork.metrics_dir
    once = Groundwork.once
    kept = Groundwork.kept
    either = Groundwork.either
    clock = Groundwork.clock
    metrics = Groundwork.metrics
    instruments = Groundwork.instruments
    span = Groundwork.span
    observed = Groundwork.observed
    store = Groundwork.store
    postgres = Groundwork.postgres
    repository = Groundwork.repository
    changed = Groundwork.changed
    database = Groundwork.database
    postgres_for_leases = Groundwork.postgres_for_leases
    trash_days = Groundwork.trash_days

    activity_repo = repository(
        "activities",
        InMemoryActivityRepo,
        PostgresActivityRepo,
        add=instruments.provided.activity_created,
        add_all=instruments.provided.activities_created,
        update=changed(ChangeKind.UPDATED),
        soft_delete=changed(ChangeKind.TRASHED),
        restore=changed(ChangeKind.RESTORED),
        purge=changed(ChangeKind.PURGED),
    )
    user_repo = repository("users", InMemoryUserRepo, PostgresUserRepo, add=instruments.provided.user_registered)
    statistics_repo = repository("statistics", InMemoryStatisticsRepo, PostgresStatisticsRepo)
    tag_repo = repository("tags", InMemoryTagRepo, PostgresTagRepo, replace=changed(ChangeKind.UPDATED))
    photo_repo = repository("photos", InMemoryPhotoRepo, PostgresPhotoRepo, add=instruments.provided.photo_uploaded)
    audit_log = repository("audit", InMemoryAuditLog, PostgresAuditLog)
    outbox = repository("outbox", InMemoryOutbox, PostgresOutbox)
    login_history = observed(
        either(memory=once(InMemoryLoginHistory), stores=once(PostgresLoginHistory, postgres)), "logins"
    )

    standings = repository("standings", InMemoryStandings, PostgresStandings)

    api_key_repo = repository("api_keys", InMemoryApiKeys, PostgresApiKeys)
    api_keys = once(ApiKeyService, api_key_repo, clock)

    files = once(objects_at, settings.provided.objects_url, settings.provided.data_dir)
    objects = either(memory=once(InMemoryObjectStore, clock), stores=files)
    object_names = repository("objects", InMemoryObjectNames, PostgresObjectNames)
    originals = repository(
        "originals",
        InMemoryOriginalRepo,
        PostgresOriginalRepo,
        add=instruments.provided.activities_created,
        update=changed(ChangeKind.UPDATED),
    )

    redis_cache = once(RedisCache, kept(closed, line_to, settings.provided.redis_url))
    cache_store = either(memory=once(InMemoryCache), stores=redis_cache)
    cache = once(ObservedCache, cache_store, span)
    limits_line = kept(closed, line_to, settings.provided.limits_redis_url)
    shared_limiter = either(memory=once(InMemoryRateLimiter), stores=once(RedisRateLimiter, limits_line))
    rate_limiter = once(ObservedRateLimiter, once(DenialMemory, shared_limiter), span)

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
    picture_reader = kept(PillowPictureReader.close, PillowPictureReader, end_with_this_process)

    cache_state = once(
        ObservedCacheState,
        either(memory=once(InMemoryCacheState, store), stores=once(PostgresCacheState, postgres, postgres_for_leases)),
    )
    lease = once(Lease, cache_state)
    read_counts = once(ReadCounts)
    cached_reads = once(CachedReads, cache, lease, read_counts)
    wake_ups = either(
        memory=once(InMemoryWakeUps), stores=once(RedisWakeUps, state_line, settings.provided.state_redis_url)
    )
    changes = once(Changes, cache, cache_state, lease, announce=wake_ups.provided.announce)
    outbox_relay = once(OutboxRelay, cache, outbox, cache_state, lease, changes)
    activities = once(ActivityService, activity_repo, user_repo, cached_reads, changes, clock, trash_days)
    statistics = once(StatisticsService, statistics_repo, user_repo, cached_reads, clock)
    tags = once(TagService, tag_repo, outbox, cached_reads, changes, clock)
    photos = once(PhotoService, photo_repo, objects, picture_reader, activities, cached_reads, changes, clock)
    imports = once(ImportService, activity_repo, originals, objects, user_repo, changes, recording_reader, clock)
    original_files = once(OriginalService, activities, originals, objects)
    rereading = once(RereadService, originals, objects, changes, recording_reader, clock)
    sweep = once(ObjectSweep, objects, object_names, clock)
    administration = once(AdminService, activity_repo, user_repo, audit_log, reset_tokens, changes, clock)
    limits = once(
        LimitService,
        rate_limiter,
        once(LocalLimits, rate_limiter, local_limiter, rate_limiter, settings.provided.workers),
        standings,
        clock,
        cached_reads,
        settings.provided.rate_limit_scale,
    )
    login_attempts = once(LoginAttempts, login_history, limits, device_tokens, clock, account_secret)
    sessions = once(SessionService, session_store, standings, access_tokens, refresh_tokens, changes, clock)
    accounts = once(AccountService, user_repo, password_hasher, reset_tokens, sessions, login_attempts, changes, clock)

    change_log = repository("changes", InMemoryChangeLog, PostgresChangeLog)
    job_queue = repository("jobs", InMemoryJobQueue, PostgresJobQueue)
    upkeep_repo = repository(
        "upkeep",
        InMemoryUpkeepRepo,
        PostgresUpkeepRepo,
        purge_expired=instruments.provided.activities_purged,
        purge_of_departed=instruments.provided.activities_purged,
    )
    upkeep = once(
        UpkeepService,
        upkeep_repo,
        change_log,
        login_history,
        sessions,
        job_queue,
        changes,
        clock,
        trash_days,
        account_secret,
    )
    export_repo = repository("exports", InMemoryExportRepo, PostgresExportRepo)
    exports = once(
        ExportService,
        export_repo,
        user_repo,
        activity_repo,
        originals,
        photo_repo,
        objects,
        once(HmacExportTokens, settings.provided.secret_keys),
        changes,
        clock,
    )
    background = once(ObservedJobs, once(BackgroundService, upkeep, sweep, exports), instruments.provided.job)
    job_pools = providers.Callable(lambda url: partial(job_pool, url), settings.provided.database_url)
    in_memory_worker = once(InMemoryWorker, store, background)
    worker = either(memory=in_memory_worker, stores=once(ProcrastinateWorker, job_pools, background))
    change_service = once(ChangeService, change_log)
    live_access = once(
        LiveAccess,
        either(memory=once(InMemoryTickets), stores=once(RedisTickets, state_line)),
        api_keys,
        standings,
        cached_reads,
        clock,
    )
    live_feed = once(
        LiveFeed,
        change_service,
        wake_ups,
        either(memory=once(InMemoryPlaces), stores=once(RedisPlaces, state_line)),
        live_access.provided.check,
        providers.Object(monotonic),
    )

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
        job_queue,
        upkeep,
    )
    metrics_exchange = once(MetricsExchange, metrics_dir, metrics.provided.render)
