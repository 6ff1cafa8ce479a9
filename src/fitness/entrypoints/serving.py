"""The HTTP server: worker processes, each with the application, listeners for it and for the metrics."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import uvloop

from fitness.entrypoints.http.app import Application, create_app
from fitness.entrypoints.http.telemetry import MetricsDoor
from fitness.entrypoints.listening import listener_of, listening_sockets, raised_descriptor_limit
from fitness.entrypoints.logs import configure_logs
from fitness.entrypoints.server.exchange import ASGIApp
from fitness.entrypoints.server.workers import StopSignals, Workers
from fitness.entrypoints.settings import CompleteSettings, Settings
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.lifecycle import begin_drain, metrics_folder
from fitness.entrypoints.worker import work_off_jobs

DRAIN_S = 15.0
CLOSING_S = 5.0
"""The time after the last answer for the pools to close; then the worker is killed."""

GARBAGE_THRESHOLD = 20_000
"""Allocations between two searches for cycles. A request makes hardly any cycles, but Python's own threshold of 700
allocations is reached in a few requests."""


def serve_http(settings: CompleteSettings, until: StopSignals) -> None:
    """Serve until stopping is wanted, then finish the requests under way. Raises ClickException."""
    most_connections = raised_descriptor_limit()
    with metrics_folder(settings) as folder:
        listening = listening_sockets(settings)
        serve = partial(_work, settings, folder, listening, most_connections)
        work_jobs = partial(work_off_jobs, settings, folder, None)
        workers = Workers(
            [serve] * settings.workers + [work_jobs] * settings.job_workers,
            sockets=listening,
            drain_s=settings.shutdown_delay_s + DRAIN_S + CLOSING_S,
        )
        if not workers.run(until, lambda: _say_where(settings, most_connections)):
            raise click.ClickException("a worker process ended before it could serve; the lines above say why")


def refuse_taken_port(settings: Settings) -> None:
    """Raises ClickException if a port cannot be used. To be called before anything is started."""
    for sock in listening_sockets(settings):
        sock.close()


def _work(
    settings: CompleteSettings,
    metrics_dir: Path,
    listening: list[socket.socket],
    most_connections: int,
    stopping: int,
    ready: Callable[[], None],
) -> None:
    """What a worker process does."""
    configure_logs(settings.log_format)
    container = Container(settings=settings, metrics_dir=metrics_dir)
    app = create_app(container)
    app.on_startup.append(container.recording_reader().prepare)
    tune_garbage_collection()
    uvloop.run(_serve(app, container, listening, most_connections, stopping, ready))


async def _serve(
    app: Application,
    container: Container,
    listening: list[socket.socket],
    most_connections: int,
    stopping: int,
    ready: Callable[[], None],
) -> None:
    settings = container.settings()
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(stopping, stop.set)
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    listener = partial(listener_of, container, most_connections=most_connections)

    async with app.lifespan():
        door = MetricsDoor(container.metrics_exchange(), settings.metrics_allow)
        apps: tuple[ASGIApp, ...] = (app, door)  # the door is used only if the metrics have a listener
        listeners = [listener(one, sock) for one, sock in zip(apps, listening, strict=False)]
        ready()
        await stop.wait()
        loop.remove_reader(stopping)
        app.stopping = True
        begin_drain(container)
        await asyncio.gather(*(one.drain(notice_s=settings.shutdown_delay_s, patience_s=DRAIN_S) for one in listeners))


def tune_garbage_collection() -> None:
    gc.collect()
    gc.freeze()  # objects that exist now live until the process ends: the collector can skip them
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)


def _say_where(settings: CompleteSettings, most_connections: int) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    address = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    click.echo(f"\nfitness is on {address}, its API reference on {address}/docs", err=True)
    if settings.metrics_port:
        click.echo(f"metrics are on http://{settings.metrics_host}:{settings.metrics_port}/metrics", err=True)
    click.echo(f"each worker takes up to {most_connections} connections, by its limit of file descriptors", err=True)
    click.echo("Ctrl-C stops it.", err=True)
