"""When a container's resources open and close, and what runs in the background meanwhile."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from fitness.adapters.telemetry.ended import leave_counts
from fitness.adapters.telemetry.exchange import begin_exchange
from fitness.domain.use_cases.caching.invalidation import OutboxRelay
from fitness.domain.use_cases.caching.lease import RECOVERY_S, RENEW_S, Lease
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.container import Container
from fitness.foundation.tasks import SupervisedTasks
from fitness.foundation.temporary import temporary_folder
from fitness.ports.outages import Outage
from fitness.ports.setup import BadSetup

READING_GRACE_S = 2.0

COMMAND_DEADLINE_S = 10.0
"""How long a command waits for PostgreSQL: longer than a request, since only its operator waits for it."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def running(settings: CompleteSettings) -> AsyncIterator[Container]:
    """A container for one command: its connections are open, and nothing runs in the background.

    The counts of the command are left in `metrics_dir`, for the service's scrapes.
    """
    container = Container(settings=settings, postgres_deadline_s=COMMAND_DEADLINE_S)
    async with lifespan(container, background=False):
        try:
            yield container
        finally:
            if settings.metrics_dir is not None:
                leave_counts(settings.metrics_dir, container.instruments().counted(container.metric_sources()))


@contextmanager
def metrics_folder(settings: CompleteSettings) -> Iterator[Path]:
    """The folder where the processes of a service exchange metrics, cleared of an earlier run's. Raises BadSetup."""
    with ExitStack() as stack:
        folder = settings.metrics_dir or Path(stack.enter_context(temporary_folder("fitness-metrics-")))
        try:
            begin_exchange(folder)
        except OSError as error:
            why = f"the folder {folder} cannot be used: {error.strerror}; choose another with FITNESS_METRICS_DIR"
            raise BadSetup(why) from error
        yield folder


@asynccontextmanager
async def lifespan(container: Container, *, background: bool) -> AsyncIterator[None]:
    """The container is open until the context ends; then every resource that was made is closed.

    With `background`, the outbox is relayed, the live feed runs and the metrics are sampled meanwhile; if everything is
    kept in memory, jobs are carried out as well.
    """
    async with AsyncExitStack() as stack:
        stack.push_async_callback(container.resources().close)
        await container.database().open()
        await container.lease_database().open()
        relay, lease = container.outbox_relay(), container.lease()
        # One round takes the lease. A command needs it too, if it changes something before it ends.
        failure = await _round(relay, logged=None)
        if background:
            tasks = SupervisedTasks()
            stack.push_async_callback(tasks.close)
            tasks.start(_rounds(relay, lease, failure))
            tasks.start(container.live_feed().run())
            tasks.start(container.instruments().sample(container.metric_sources()))
            if container.settings().in_memory:
                tasks.start(container.worker().work(asyncio.Event()))
        yield


def begin_drain(container: Container) -> None:
    """To be called when the service is told to stop, while it still answers the requests under way.

    Connections to the live feed end once no new ones are accepted, so that clients connect again to another process.
    Files that are still being read after READING_GRACE_S are answered with 503, since reading one may take a minute.
    """
    loop = asyncio.get_running_loop()
    for reader in (container.recording_reader(), container.picture_reader()):
        loop.call_later(READING_GRACE_S, reader.close)
    loop.call_later(container.settings().shutdown_delay_s, container.live_feed().stop)


async def _rounds(relay: OutboxRelay, lease: Lease, failure: type[Exception] | None) -> None:
    while True:
        await asyncio.sleep(RENEW_S if lease.usable else RECOVERY_S)
        failure = await _round(relay, logged=failure)


async def _round(relay: OutboxRelay, *, logged: type[Exception] | None) -> type[Exception] | None:
    """The type of the error that the round failed with, or None. If it is `logged`, it is not logged again."""
    try:
        await relay.relay()
    except Outage as outage:
        if type(outage) is not logged:
            _log.warning("reads bypass the cache until every pending invalidation has been carried out: %s", outage)
        return type(outage)
    except Exception as error:  # noqa: BLE001 - the rounds have to go on
        if type(error) is not logged:
            _log.exception("relaying the outbox failed; the next round tries again")
        return type(error)
    return None
