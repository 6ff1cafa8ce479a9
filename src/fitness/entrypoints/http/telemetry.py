"""/metrics, on a listener of its own: the metrics of every process of this instance."""

from collections.abc import Iterator
from typing import Protocol

from litestar import Litestar
from litestar.exceptions import NotFoundException
from litestar.types import Receive, Scope, Send

from fitness.entrypoints.http.addresses import Network, client_ip
from fitness.entrypoints.http.kinds import AddressNotAllowed
from fitness.entrypoints.http.problems import MEDIA_TYPE, NO_STORE, NOSNIFF, problem_of
from fitness.entrypoints.http.routes import declared, operations

TEXT_FORMAT = b"text/plain; version=0.0.4; charset=utf-8"


def expected_responses(app: Litestar) -> Iterator[tuple[str, str, str]]:
    """Method, route and status of the series that start at 0: each route's success and the failures alerts watch."""
    for method, path, handler in operations(app):
        route = declared(handler)
        statuses = [str(handler.status_code), "500"]
        statuses += ["429"] if route.of_api else []
        statuses += ["503"] if route.needs_database else []
        for status in statuses:
            yield method, path, status


class MetricsText(Protocol):
    async def collect(self) -> bytes:
        """Every process's metrics in Prometheus's text format."""


class MetricsDoor:
    """The application of the metrics' own listener: reads them out to peers in the `allowed` networks."""

    def __init__(self, text: MetricsText, allowed: tuple[Network, ...]) -> None:
        self._text = text
        self._allowed = allowed

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        status, media_type, body = await self._answer(scope)
        headers = [(b"content-type", media_type), NOSNIFF, NO_STORE]
        headers += [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, scope: Scope) -> tuple[int, bytes, bytes]:
        """Status, media type and body."""
        client = scope["client"]
        address = client_ip(client[0] if client else None, [], ())
        if address is None or not any(address in network for network in self._allowed):
            return _problem(AddressNotAllowed("metrics are for the networks in FITNESS_METRICS_ALLOW"))
        if scope["path"] != "/metrics":
            return _problem(NotFoundException())
        return 200, TEXT_FORMAT, await self._text.collect()


def _problem(error: Exception) -> tuple[int, bytes, bytes]:
    kind, body, _ = problem_of(error, "GET")
    return kind.status, MEDIA_TYPE.encode(), body
