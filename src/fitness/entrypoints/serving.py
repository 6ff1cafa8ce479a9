"""The HTTP server: worker processes, each with the application, listeners for it and for the metrics."""

import asyncio
import gc
import resource
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import uvloop

from fitness.entrypoints.http.addresses import connection_group
from fitness.entrypoints.http.app import Application, create_app
from fitness.entrypoints.http.problems import problem_of_server
from fitness.entrypoints.http.telemetry import MetricsDoor
from fitness.entrypoints.logs import configure_logs
from fitness.entrypoints.server.exchange import ASGIApp
from fitness.entrypoints.server.listener import Listener
from fitness.entrypoints.server.workers import StopSignals, Workers
from fitness.entrypoints.settings import CompleteSettings, Settings
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.lifecycle import begin_drain, metrics_folder

DRAIN_S = 15.0
CLOSING_S = 5.0
"""After the last answer, for the pools to close; then a worker is killed."""

BACKLOG = 2_048
"""Connections that the kernel keeps for the workers."""

SEND_BUFFER_BYTES = 128 * 1024
"""What the kernel takes of an answer for a client that does not read it; by itself it takes up to 4 MB."""

SPARE_DESCRIPTORS = 256
"""For all but clients: stores, logs, recordings that are read."""

MOST_CONNECTIONS = 16_384

GARBAGE_THRESHOLD = 20_000
"""Allocations between searches for cycles, of which a request makes hardly any; Python's own 700 are a few requests."""


def serve_http(settings: CompleteSettings, until: StopSignals) -> None:
    """Serve until stopping is wanted, then finish the requests under way. Raises ClickException."""
    most_connections = raised_descriptor_limit()
    with metrics_folder(settings) as folder:
        listening = _listening_sockets(settings)
        workers = Workers(
            partial(_work, settings, folder, listening, most_connections),
            count=settings.workers,
            sockets=listening,
            drain_s=settings.shutdown_delay_s + DRAIN_S + CLOSING_S,
        )
        if not workers.run(until, lambda: _say_where(settings)):
            raise click.ClickException("a worker process ended before it could serve; the lines above say why")


def raised_descriptor_limit() -> int:
    """Take as many file descriptors as this process may have. Returns how many connections that makes, one for each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return (
        MOST_CONNECTIONS if most == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, max(64, most - SPARE_DESCRIPTORS))
    )


def refuse_taken_port(settings: Settings) -> None:
    """Raises ClickException, before anything is started."""
    for sock in _listening_sockets(settings):
        sock.close()


def _listening_sockets(settings: Settings) -> list[socket.socket]:
    """For the API and, unless it is switched off, for the metrics. Raises ClickException."""
    places = [(settings.host, settings.port, "FITNESS_PORT")]
    if settings.metrics_port:
        places.append((settings.metrics_host, settings.metrics_port, "FITNESS_METRICS_PORT"))
    return [_listening(*place) for place in places]


def _listening(host: str, port: int, setting: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # also of what it accepts
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {error.strerror}; choose with {setting}"
        ) from error
    return sock


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

    def listener(asgi: ASGIApp, sock: socket.socket) -> Listener:
        return Listener(
            asgi,
            sock,
            per_address=settings.connections_per_address,
            most=most_connections,
            address_of=lambda peer: connection_group(peer, exempt=settings.trusted_proxies),
            problem=problem_of_server,
            refused=lambda status: container.instruments().request("", "unmatched", status, 0.0),
        )

    async with app.lifespan():
        door = MetricsDoor(container.metrics_exchange(), settings.metrics_allow)
        apps: tuple[ASGIApp, ...] = (app, door)  # the second only where the metrics have a listener
        listeners = [listener(one, sock) for one, sock in zip(apps, listening, strict=False)]
        ready()
        await stop.wait()
        loop.remove_reader(stopping)
        app.stopping = True
        begin_drain(container)
        await asyncio.gather(*(one.drain(notice_s=settings.shutdown_delay_s, patience_s=DRAIN_S) for one in listeners))


def tune_garbage_collection() -> None:
    gc.collect()
    gc.freeze()  # what is there now stays until the process ends: the collector need not look at it
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)


def _say_where(settings: CompleteSettings) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    address = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    click.echo(f"\nfitness is on {address}, its API reference on {address}/docs", err=True)
    if settings.metrics_port:
        click.echo(f"metrics are on http://{settings.metrics_host}:{settings.metrics_port}/metrics", err=True)
    click.echo("Ctrl-C stops it.", err=True)
