"""/metrics: the metrics of every process of this instance, for clients in FITNESS_METRICS_ALLOW."""

from collections.abc import Iterator
from typing import Any, Protocol

from litestar import Litestar, Request, Response, get
from litestar.di import NamedDependency

from fitness.domain.model.rate_limits import Action
from fitness.entrypoints.http.addresses import LOOPBACK, Network, client_ip
from fitness.entrypoints.http.problems import AddressNotAllowed
from fitness.entrypoints.http.routes import Access, Route, declared, operations


def expected_responses(app: Litestar) -> Iterator[tuple[str, str, str]]:
    """Method, route and status of the series that start at 0: each route's success and the failures alerts watch."""
    for method, path, handler in operations(app):
        route = declared(handler)
        statuses = [str(handler.status_code), "500"]
        statuses += ["429"] if route.may_exceed_limit else []
        statuses += ["503"] if route.needs_database else []
        for status in statuses:
            yield method, path, status


class MetricsText(Protocol):
    async def collect(self) -> bytes:
        """Every process's metrics in Prometheus's text format."""


class MetricsDoor:
    """Reads the metrics out to clients of the `allowed` networks."""

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


@get(
    "/metrics",
    include_in_schema=False,
    opt=Route(
        access=Access.PUBLIC,
        action=Action.OTHER,
        refuses=(AddressNotAllowed,),
        limited=False,
        needs_database=False,
    ).opt,
)
async def metrics(request: Request[Any, Any, Any], metrics_door: NamedDependency[MetricsDoor]) -> Response[bytes]:
    text = await metrics_door.open(request)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8", headers={"Cache-Control": "no-store"})
