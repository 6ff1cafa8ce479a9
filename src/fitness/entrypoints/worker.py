"""The job worker: a process that carries out background jobs, within `fitness serve` or as `fitness worker`."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import click
import uvloop

from fitness.domain.model.jobs import Task
from fitness.entrypoints.http.telemetry import MetricsDoor
from fitness.entrypoints.listening import listener_of, metrics_socket, raised_descriptor_limit
from fitness.entrypoints.logs import configure_logs
from fitness.entrypoints.server.workers import StopSignals, Workers
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.lifecycle import lifespan, metrics_folder

ENDING_S = 20.0
"""The time for running jobs and connections to end; then the process is killed, and another carries out its jobs."""

MOST_CONNECTIONS = 64
"""Connections to the metrics listener of `fitness worker`."""


def run_worker(settings: CompleteSettings, until: StopSignals) -> None:
    """Work off jobs until stopping is wanted, in a process that is replaced when it dies. Raises ClickException."""
    raised_descriptor_limit()
    with metrics_folder(settings) as folder:
        listening = metrics_socket(settings)
        work = partial(work_off_jobs, settings, folder, listening[0] if listening else None)
        workers = Workers([work], sockets=listening, drain_s=ENDING_S)
        if not workers.run(until, lambda: _say_that_it_works(settings)):
            raise click.ClickException("the worker ended before it could begin; the lines above say why")


def work_off_jobs(
    settings: CompleteSettings,
    metrics_dir: Path,
    metrics_listening: socket.socket | None,
    stopping: int,
    ready: Callable[[], None],
) -> None:
    """Runs in the worker process. `metrics_listening` is the socket of its own metrics listener; None without one."""
    configure_logs(settings.log_format)
    container = Container(settings=settings, metrics_dir=metrics_dir)
    container.instruments().declare(container.metric_sources(), (), Task)
    uvloop.run(_work(container, metrics_listening, stopping, ready))


async def _work(
    container: Container, metrics_listening: socket.socket | None, stopping: int, ready: Callable[[], None]
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(stopping, stop.set)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with (
        lifespan(container, background=True),
        container.metrics_exchange().serve_metrics(),
        _metrics_on(container, metrics_listening),
    ):
        ready()
        await container.worker().work(stop)
        loop.remove_reader(stopping)


@asynccontextmanager
async def _metrics_on(container: Container, listening: socket.socket | None) -> AsyncIterator[None]:
    if listening is None:
        yield
        return
    door = MetricsDoor(container.metrics_exchange(), container.settings().metrics_allow)
    listener = listener_of(container, door, listening, most_connections=MOST_CONNECTIONS)
    try:
        yield
    finally:
        await listener.drain(notice_s=0.0, patience_s=1.0)


def _say_that_it_works(settings: CompleteSettings) -> None:
    where = f"; its metrics are on http://{settings.metrics_host}:{settings.metrics_port}/metrics"
    click.echo(f"working off background jobs{where if settings.metrics_port else ''}. Ctrl-C stops it.", err=True)
