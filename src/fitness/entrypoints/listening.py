"""The sockets to listen on, and the listeners that accept connections from them."""

import resource
import socket

import click

from fitness.entrypoints.http.addresses import connection_group
from fitness.entrypoints.http.arrived import UNMATCHED
from fitness.entrypoints.http.problems import problem_of_server
from fitness.entrypoints.http.telemetry import MetricsDoor
from fitness.entrypoints.server.exchange import ASGIApp
from fitness.entrypoints.server.listener import Listener
from fitness.entrypoints.settings import Settings
from fitness.entrypoints.wiring.container import Container

BACKLOG = 2_048
"""Connections that wait in the kernel until a worker accepts them."""

SEND_BUFFER_BYTES = 128 * 1024
"""Bytes of an answer that the kernel buffers for a client that does not read it; its own default is up to 4 MB."""

SPARE_DESCRIPTORS = 256
"""File descriptors for everything but clients: stores, logs, recordings that are being read."""

MOST_CONNECTIONS = 16_384


def raised_descriptor_limit() -> int:
    """Raise the limit of file descriptors as far as this process may. Returns how many connections that allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return (
        MOST_CONNECTIONS if most == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, max(64, most - SPARE_DESCRIPTORS))
    )


def listening_sockets(settings: Settings) -> list[socket.socket]:
    """The socket for the API and, unless metrics are switched off, the one for metrics. Raises ClickException."""
    return [_listening(settings.host, settings.port, "FITNESS_PORT"), *metrics_socket(settings)]


def metrics_socket(settings: Settings) -> list[socket.socket]:
    """The socket for metrics; no socket if metrics are switched off. Raises ClickException."""
    if not settings.metrics_port:
        return []
    return [_listening(settings.metrics_host, settings.metrics_port, "FITNESS_METRICS_PORT")]


def listener_of(container: Container, asgi: ASGIApp, sock: socket.socket, *, most_connections: int) -> Listener:
    """Serves `asgi` to whoever connects to `sock`. What the server refuses by itself is counted, but for metrics."""
    settings, instruments = container.settings(), container.instruments()
    counts = not isinstance(asgi, MetricsDoor)
    return Listener(
        asgi,
        sock,
        per_address=settings.connections_per_address,
        most=most_connections,
        address_of=lambda peer: connection_group(peer, exempt=settings.trusted_proxies),
        problem=problem_of_server,
        refused=lambda status: instruments.request("", UNMATCHED, status, 0.0) if counts else None,
    )


def _listening(host: str, port: int, setting: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # accepted sockets inherit it
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {error.strerror}; choose with {setting}"
        ) from error
    return sock
