"""What the rest of the container builds on: settings, resources, stores, and how repositories are made."""

from functools import partial
from pathlib import Path
from typing import Any

from dependency_injector import containers, providers

from fitness.adapters.memory.database import InMemoryDatabase, NoMigrations
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.observed.timed import timed
from fitness.adapters.postgres.database import DEADLINE_S, Database, lease_database
from fitness.adapters.postgres.migration_runner import Migrations
from fitness.adapters.postgres.schema import SchemaProbe
from fitness.adapters.system.clock import SystemClock
from fitness.adapters.telemetry.instruments import Instruments
from fitness.adapters.telemetry.metrics import Metrics
from fitness.adapters.telemetry.tracing import Tracing
from fitness.entrypoints.logs import AccessLog
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.resources import Resources


def _repository(
    either: Any, observed: Any, store: Any, postgres: Any, name: str, memory: Any, kept: Any, **then: Any
) -> Any:
    """A repository in memory or in PostgreSQL, whose calls are timed. `then` maps method names to what is called with
    the result.
    """
    chosen = either(memory=providers.Singleton(memory, store), stores=providers.Singleton(kept, postgres))
    return observed(chosen, name, then=providers.Dict(**then))


class Groundwork(containers.DeclarativeContainer):
    """Everything is made once, on first use."""

    settings: providers.Dependency[CompleteSettings] = providers.Dependency(instance_of=CompleteSettings)
    # The folder where the processes of an instance exchange metrics; only a process that serves metrics needs it.
    metrics_dir: providers.Dependency[Path] = providers.Dependency(instance_of=Path)
    postgres_deadline_s: providers.Dependency[float] = providers.Dependency(instance_of=float, default=DEADLINE_S)

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
    trash_days = settings.provided.trash_days
    postgres = kept(Database.close, Database, settings.provided.database_url, deadline_s=postgres_deadline_s)
    repository = partial(_repository, either, observed, store, postgres)
    changed = partial(providers.Callable, partial, instruments.provided.changed)
    database = either(memory=once(InMemoryDatabase), stores=postgres)
    database_probe = either(memory=database, stores=once(SchemaProbe, postgres))
    # A pool of its own, so that the lease is renewed while all connections of the other pool are busy.
    postgres_for_leases = kept(Database.close, lease_database, settings.provided.database_url)
    lease_database = either(memory=once(InMemoryDatabase), stores=postgres_for_leases)
    schema = once(Migrations, settings.provided.owner_url, service_url=settings.provided.database_url)
    migrations = either(memory=once(NoMigrations), stores=schema)
