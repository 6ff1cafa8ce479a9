"""/metrics: everything that the instance counted, for Prometheus; closed to other networks."""

from collections.abc import Iterator
from typing import Any, Protocol

from litestar import Litestar, Request, Response, get
from litestar.di import NamedDependency
from litestar.routes import HTTPRoute

from fitness.entrypoints.http.addresses import LOOPBACK, Network, client_ip
from fitness.entrypoints.http.gate import DATABASELESS, FREE, PUBLIC
from fitness.entrypoints.http.problems import AddressNotAllowed


def expected_responses(app: Litestar) -> Iterator[tuple[str, str, str]]:
    """Method, route and status of the responses counted from 0 on: each route's success, and those that alerts use."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                statuses = [str(handler.status_code), "500"]
                statuses += [] if handler.opt.get(FREE) else ["429"]
                statuses += [] if handler.opt.get(DATABASELESS) else ["503"]
                for status in statuses:
                    yield method, route.path_format, status


class MetricsText(Protocol):
    async def collect(self) -> bytes:
        """Every process's metrics in Prometheus's text format."""


class MetricsDoor:
    """Decides who may read the metrics, and collects them."""

    def __init__(self, text: MetricsText, allowed: tuple[Network, ...], trusted: tuple[Network, ...]) -> None:
        self._text = text
        self._allowed = allowed
        # A request forwarded by a local proxy must not count as a local client.
        self._trusted = (*trusted, *LOOPBACK)

    async def open(self, request: Request[Any, Any, Any]) -> bytes:
        """Raises AddressNotAllowed."""
        client = request.scope["client"]
        forwarded_for = request.headers.getall("x-forwarded-for", [])
        address = client_ip(client[0] if client else None, forwarded_for, self._trusted)
        if address is None or not any(address in network for network in self._allowed):
            raise AddressNotAllowed("metrics are for the networks in FITNESS_METRICS_ALLOW")
        return await self._text.collect()


@get("/metrics", opt={PUBLIC: True, FREE: True, DATABASELESS: True}, include_in_schema=False)
async def metrics(request: Request[Any, Any, Any], metrics_door: NamedDependency[MetricsDoor]) -> Response[bytes]:
    text = await metrics_door.open(request)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8", headers={"Cache-Control": "no-store"})
