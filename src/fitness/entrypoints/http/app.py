"""The HTTP application: routes, gate and error table put together."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from fitness.entrypoints.http.accounts import users_router
from fitness.entrypoints.http.activities import activities_router
from fitness.entrypoints.http.administration import admin_router
from fitness.entrypoints.http.bodies import MAX_BODY_BYTES
from fitness.entrypoints.http.charging import Charging
from fitness.entrypoints.http.cors import Cors, allowed_methods, request_headers
from fitness.entrypoints.http.documentation import docs_router, front_door, openapi
from fitness.entrypoints.http.edge import Edge
from fitness.entrypoints.http.exports import exports_router
from fitness.entrypoints.http.feed import Feed
from fitness.entrypoints.http.gate import Gate
from fitness.entrypoints.http.health import Stores, health_router
from fitness.entrypoints.http.live import live_router
from fitness.entrypoints.http.live_socket import PATH as LIVE_PATH
from fitness.entrypoints.http.live_socket import LiveSocket
from fitness.entrypoints.http.photos import photos_of_activity_router, photos_router
from fitness.entrypoints.http.problems import answer
from fitness.entrypoints.http.rate_limits import ViolationLog, limit_headers, rate_limit
from fitness.entrypoints.http.routes import check_declarations
from fitness.entrypoints.http.sessions import auth_router
from fitness.entrypoints.http.short_changes import ShortChanges
from fitness.entrypoints.http.short_way import ShortWay
from fitness.entrypoints.http.statistics import statistics_router
from fitness.entrypoints.http.tags import TagTurns, tags_router
from fitness.entrypoints.http.telemetry import expected_responses
from fitness.entrypoints.http.uploads import UploadSpace
from fitness.entrypoints.server.exchange import QuickAnswer, RawHeaders
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.lifecycle import lifespan

API = Router(
    "/api/v1",
    route_handlers=[
        auth_router,
        users_router,
        activities_router,
        statistics_router,
        tags_router,
        photos_of_activity_router,
        photos_router,
        exports_router,
        admin_router,
        rate_limit,
        live_router,
    ],
)
HANDLERS = (API, health_router, docs_router, front_door, openapi)


class Application(Litestar):
    """Litestar behind the edge, which answers most reads without Litestar."""

    edge: Edge
    live: LiveSocket
    stopping = False
    """Whether the service is stopping: readiness says so, and load balancers send their requests elsewhere."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override] # any scope
        if scope["type"] == ScopeType.HTTP:
            await self.edge(scope, receive, send)
        else:
            await (self.live if scope["type"] == ScopeType.WEBSOCKET else self.routed)(scope, receive, send)

    def quick(
        self, method: str, target: bytes, headers: RawHeaders
    ) -> QuickAnswer | Coroutine[Any, Any, object] | None:
        """The quick way that the server calls: see QuickWay."""
        return self.edge.quick(method, target, headers)

    def takes_socket(self, path: str) -> bool:
        """Whether there is a WebSocket at this path; called by the server: see TakesSocket."""
        return path == LIVE_PATH

    async def routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


def create_app(container: Container) -> Application:
    """The application over `container`, which it opens when it starts and closes when it stops."""

    @asynccontextmanager
    async def while_serving(_: Litestar) -> AsyncIterator[None]:
        async with lifespan(container, background=True), container.metrics_exchange().serve_metrics():
            yield

    settings = container.settings()
    violations = ViolationLog()

    charging = Charging(
        container.limits(), container.login_attempts(), settings.trusted_proxies, limit_headers, violations.record
    )

    upload_space, tag_turns = UploadSpace(), TagTurns()
    feed = Feed(container.live_feed(), container.instruments(), container.clock())

    def gate(app: ASGIApp) -> ASGIApp:
        return Gate(
            app,
            container.access_tokens(),
            container.device_tokens(),
            charging,
            container.administration(),
            container.api_keys(),
        )

    stores = Stores(
        needed={"database": container.database_probe()},
        useful={"cache": container.cache_store()},
        stopping=lambda: app.stopping,
    )
    app = Application(
        route_handlers=HANDLERS,
        dependencies={
            "accounts": Provide(lambda: container.accounts(), sync_to_thread=False),
            "sessions": Provide(lambda: container.sessions(), sync_to_thread=False),
            "keys": Provide(lambda: container.api_keys(), sync_to_thread=False),
            "activities": Provide(lambda: container.activities(), sync_to_thread=False),
            "charging": Provide(lambda: charging, sync_to_thread=False),
            "imports": Provide(lambda: container.imports(), sync_to_thread=False),
            "originals": Provide(lambda: container.original_files(), sync_to_thread=False),
            "upload_space": Provide(lambda: upload_space, sync_to_thread=False),
            "limits": Provide(lambda: container.limits(), sync_to_thread=False),
            "administration": Provide(lambda: container.administration(), sync_to_thread=False),
            "statistics": Provide(lambda: container.statistics(), sync_to_thread=False),
            "exports": Provide(lambda: container.exports(), sync_to_thread=False),
            "tag_turns": Provide(lambda: tag_turns, sync_to_thread=False),
            "tags": Provide(lambda: container.tags(), sync_to_thread=False),
            "feed": Provide(lambda: feed, sync_to_thread=False),
            "live_access": Provide(lambda: container.live_access(), sync_to_thread=False),
            "changes": Provide(lambda: container.change_service(), sync_to_thread=False),
            "photos": Provide(lambda: container.photos(), sync_to_thread=False),
            "stores": Provide(lambda: stores, sync_to_thread=False),
        },
        middleware=[gate],
        exception_handlers={Exception: answer},
        lifespan=[while_serving],
        openapi_config=None,
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
    )
    check_declarations(app)
    container.instruments().declare(container.metric_sources(), expected_responses(app))
    cors = Cors(settings.cors_origins, request_headers(app))
    app.live = LiveSocket(
        feed,
        container.live_access(),
        container.access_tokens(),
        container.api_keys(),
        charging,
        cors,
        container.instruments().request,
        container.access_log(),
    )
    app.edge = Edge(
        app.routed,
        ShortWay(container.access_tokens(), container.limits(), container.cached_reads(), container.activities()),
        ShortChanges(container.access_tokens(), charging, container.activities()),
        container.instruments().request,
        container.access_log(),
        container.tracing(),
        charging.charge_unmatched,
        cors,
        allowed_methods(app),
    )
    return app
