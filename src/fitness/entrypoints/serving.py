"""The HTTP server: granian, whose worker processes are children of this one."""

import gc
import os
import signal
import socket
from functools import partial
from pathlib import Path

import click
from granian.constants import Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer, MTServer, Server
from litestar import Litestar

from fitness.entrypoints.http.app import create_app
from fitness.entrypoints.logs import configure_logs
from fitness.entrypoints.settings import CompleteSettings, Settings
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.lifecycle import metrics_folder
from fitness.foundation.parent_death import die_with_parent

HEADER_TIMEOUT_MS = 5_000
DRAIN_TIMEOUT_S = 15

GARBAGE_THRESHOLD = 20_000
"""Allocations between searches for cycles, of which a request makes hardly any; Python's own 700 are a few requests."""


def serve_http(settings: CompleteSettings) -> None:
    """Serve until SIGINT or SIGTERM, then finish the requests under way."""
    with metrics_folder(settings) as folder:
        _serve(settings, folder)


def _serve(settings: CompleteSettings, metrics_dir: Path) -> None:
    server = http_server("fitness", host=settings.host, port=settings.port, workers=settings.workers)
    server.on_startup(lambda: _say_where(settings))
    server.serve(target_loader=partial(_load, settings, metrics_dir, os.getpid()), wrap_loader=False)


def http_server(target: str, *, host: str, port: int, workers: int) -> MPServer | MTServer:
    """granian as it serves this application; `ops/bench/hello.py` serves another one by it."""
    return Server(
        target,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=workers,
        loop=Loops.uvloop,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS),
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_TIMEOUT_S,
        log_level=LogLevels.warning,
    )


def _load(settings: CompleteSettings, metrics_dir: Path, parent_pid: int) -> Litestar:
    """Runs first in each worker process."""
    die_with_parent(parent_pid, signal.SIGKILL)
    configure_logs(settings.log_format)
    container = Container(settings=settings, metrics_dir=metrics_dir)
    app = create_app(container)
    app.on_startup.append(container.recording_reader().prepare)
    tune_garbage_collection()
    return app


def tune_garbage_collection() -> None:
    gc.collect()
    gc.freeze()  # what is there now stays until the process ends: the collector need not look at it
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)


def refuse_taken_port(settings: Settings) -> None:
    """Raises ClickException. granian itself would share the port with whoever has it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise click.ClickException(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose with FITNESS_PORT"
            ) from error


def _say_where(settings: CompleteSettings) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    address = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    click.echo(f"\nfitness is on {address}, its API reference on {address}/docs", err=True)
    click.echo("Ctrl-C stops it.", err=True)
