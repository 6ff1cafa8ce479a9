"""Findings about how the stores are set up."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fitness.adapters.embedded.diagnosis import FolderDiagnosis
from fitness.adapters.objects.diagnosis import ObjectsDiagnosis
from fitness.adapters.objects.store import objects_at
from fitness.adapters.postgres.audit_diagnosis import AuditDiagnosis
from fitness.adapters.postgres.deletion_diagnosis import DeletionDiagnosis, JobsDiagnosis
from fitness.adapters.postgres.diagnosis import CacheStateDiagnosis, PostgresDiagnosis
from fitness.adapters.postgres.migration_runner import Migrations
from fitness.adapters.postgres.role_diagnosis import RoleDiagnosis
from fitness.adapters.postgres.totals_diagnosis import TotalsDiagnosis
from fitness.adapters.redis.client import connected
from fitness.adapters.redis.diagnosis import RedisDiagnosis, cache_rules, state_rules
from fitness.domain.model.audit_chain import ChainHead
from fitness.domain.use_cases.upkeep import ERASED_AFTER
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.stores import connections_of
from fitness.ports.health import DiagnosisPort, Finding, Verdict

SHARED = "cache, limits and sessions share this Redis: eviction can delete each; set FITNESS_STATE_REDIS_URL"
LIMITS_SHARED = "cache and limits share this Redis: eviction frees limits; set FITNESS_LIMITS_REDIS_URL to another one"
IN_MEMORY = "everything is kept in memory, and nothing of it after the service stops; set both URLs or neither"

PATIENCE_S = 5.0
"""How long a Redis may take for an answer before it counts as not answering, as for PostgreSQL."""


async def diagnose(
    settings: CompleteSettings, *, data_dir: Path | None = None, audit_head: ChainHead | None = None
) -> dict[str, list[Finding]]:
    """The findings about each store that `settings` name, by the store's name.

    `data_dir` is the data folder of embedded engines, `audit_head` an end of the audit log that was noted before.
    """
    if settings.in_memory:
        return {"memory": [Finding(Verdict.DOUBTFUL, IN_MEMORY)]}
    urls = settings.redis_url, settings.state_redis_url, settings.limits_redis_url
    cache, state, limits = (connected(url, socket_timeout=PATIENCE_S, connect_timeout=PATIENCE_S) for url in urls)
    diagnoses: dict[str, DiagnosisPort] = {
        "PostgreSQL": PostgresDiagnosis(
            settings.database_url, Migrations(settings.database_url), connections_of(settings, at_least_one_worker=True)
        ),
        "cache Redis": RedisDiagnosis(cache, cache_rules),
        "state Redis": RedisDiagnosis(state, state_rules),
        "limits Redis": RedisDiagnosis(limits, state_rules),
        "role": RoleDiagnosis(settings.database_url),
        "audit log": AuditDiagnosis(settings.database_url, audit_head),
        "totals": TotalsDiagnosis(settings.database_url),
        "jobs": JobsDiagnosis(settings.database_url),
        "deletion": DeletionDiagnosis(
            settings.database_url,
            trashed=datetime.now(UTC) - timedelta(days=settings.trash_days),
            departed=datetime.now(UTC) - ERASED_AFTER,
        ),
        "cache state": CacheStateDiagnosis(settings.database_url),
        "files": ObjectsDiagnosis(objects_at(settings.objects_url, settings.data_dir)),
    }
    if data_dir is not None:
        diagnoses["data folder"] = FolderDiagnosis(data_dir)
    try:
        found = {store: [*await diagnosis.diagnose()] for store, diagnosis in diagnoses.items()}
    finally:
        await asyncio.gather(cache.aclose(), state.aclose(), limits.aclose())
    if settings.state_redis_url == settings.redis_url:
        found["state Redis"] = [Finding(Verdict.DOUBTFUL, SHARED)]
    if settings.limits_redis_url == settings.state_redis_url:
        del found["limits Redis"]  # the state's Redis, whose findings are there already
    elif settings.limits_redis_url == settings.redis_url:
        found["limits Redis"] = [Finding(Verdict.DOUBTFUL, LIMITS_SHARED)]
    return found
