"""What each route declares of itself: one typed value, which the gate, the metrics and the API document read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from litestar import Litestar
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import ASGIRoute, BaseRoute, HTTPRoute, WebSocketRoute

from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.fields import Says
from fitness.domain.model.rate_limits import Action, RateLimited
from fitness.domain.model.refusals import AdminOnly, InsufficientScope, InvalidFields, LoginDelayed, NotAuthenticated
from fitness.entrypoints.http.kinds import MalformedRequest, UnsupportedMediaType
from fitness.ports.outages import DatabaseUnavailable, Overloaded

ROUTE = "fitness.route"
"""The key of a handler's `opt` that holds its Route."""


class Access(Enum):
    """Who may call a route."""

    PUBLIC = "public"
    """Anyone; an access token is not looked at."""
    ACCOUNT = "account"
    """Whoever sends a valid access token."""
    ADMIN = "admin"
    """Whoever sends a valid access token of an admin; others are refused before their body is read."""
    ACCOUNT_OPTIONAL = "account optional"
    """Anyone; an access token that is sent must be valid."""


class KeyAccess(Enum):
    LOGIN_ONLY = "login only"


LOGIN_ONLY = KeyAccess.LOGIN_ONLY
"""In place of a scope: no API key opens the route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The declaration of a route, given to its handler as `opt=Route(…).opt`."""

    access: Access
    action: Action
    """What the route does, as far as limits are concerned."""
    scope: ApiScope | KeyAccess | None = None
    """The scope of the API keys that open the route. A route for accounts names one, or LOGIN_ONLY."""
    refuses: tuple[type[Exception], ...] = ()
    """Refusals and outages beyond those that `refusals_of` adds; a base class stands for all its subclasses."""
    headers: Mapping[str, str | Says] = field(default_factory=dict)
    """The request headers that the route reads, each with its meaning, and a pattern if other values are refused."""
    query: type[Any] | None = None
    """The dataclass of the query string."""
    upload: str | None = None
    """The field of a multipart form that holds the uploaded file."""
    texts: Mapping[str, Any] = field(default_factory=dict)
    """The other fields of that form, each with its type; all may be left out."""
    several: bool = False
    """Whether the form may have that field several times."""
    sends: tuple[str, ...] = ()
    """The headers of its successful answer beside those that every such answer has: see response_headers.py."""
    also: Mapping[int, type[Any]] = field(default_factory=dict)
    """Other statuses whose body is not a problem either, each with the body's type; bytes for a part of a file."""
    files: tuple[str, ...] = ()
    """The media types of the answer, if it is a file."""
    unstored: bool = False
    """Whether the answer is `no-store`, so that it has no ETag."""
    free_path: bool = False
    """Whether the path ends with a name of any characters, such as a tag."""
    limited: bool = True
    """Whether requests are charged. A request with an invalid token is charged all the same."""
    needs_database: bool = True

    @property
    def opt(self) -> dict[str, Any]:
        return {ROUTE: self}

    @property
    def of_api(self) -> bool:
        """Whether the route is part of the API: its requests may exceed a limit, and unknown parameters are refused."""
        return self.limited or self.access is not Access.PUBLIC


class UndeclaredRoute(TypeError):
    """A handler has no Route, or no scope. It is not served, since nothing says who may call it, or how often."""


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

# Browsers send OPTIONS before a page's request, without a token; the page's limits are not charged for it.
_OPTIONS = Route(access=Access.PUBLIC, action=Action.OTHER, limited=False, needs_database=False)
_OPTIONS_OF_FREE_PATH = replace(_OPTIONS, free_path=True)


def declared(handler: BaseRouteHandler) -> Route:
    """Raises UndeclaredRoute."""
    route = handler.opt.get(ROUTE)
    if not isinstance(route, Route):
        raise UndeclaredRoute(f"{handler} declares no access and no action: give it opt=Route(…).opt")
    if route.scope is None and route.access in (Access.ACCOUNT, Access.ACCOUNT_OPTIONAL):
        raise UndeclaredRoute(f"{handler} declares no scope for API keys: name one, or LOGIN_ONLY")
    return route


def check_declarations(app: Litestar) -> None:
    """Make sure that every handler has a Route; OPTIONS gets one, with a free path if another method there has one.

    Raises UndeclaredRoute.
    """
    for route in app.routes:
        handlers = _handlers(route)
        others = [handler for handler in handlers if not _is_options(handler)]
        options = _OPTIONS_OF_FREE_PATH if any(declared(other).free_path for other in others) else _OPTIONS
        for handler in handlers:
            if _is_options(handler):
                handler.opt.setdefault(ROUTE, options)
            declared(handler)


def operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """The method, the path and the handler of each HTTP route, in a fixed order.

    The router's own order differs between processes: each would serve another document, with another ETag.
    """
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in sorted(route.route_handler_map.items(), key=lambda one: _place(one[0])):
                yield method, route.path_format, handler


def _place(method: str) -> tuple[int, str]:
    return (_METHODS.index(method) if method in _METHODS else len(_METHODS), method)


def refusals_of(handler: HTTPRouteHandler) -> set[type[Exception]]:
    """What the handler's Route declares, and what follows from its shape."""
    route = declared(handler)
    reads_json = handler.resolve_data_dto() is not None
    found = {member for refusal in route.refuses for member in members(refusal)}
    if route.access is not Access.PUBLIC:
        found |= {NotAuthenticated, InsufficientScope}
    if route.access is Access.ADMIN:
        found |= {AdminOnly}
    if route.action is Action.LOGIN:
        found |= {LoginDelayed}
    if route.of_api:
        found |= {RateLimited, MalformedRequest, InvalidFields}
    if route.needs_database:
        found |= {DatabaseUnavailable, Overloaded}
    if route.upload or reads_json:
        found |= {RequestEntityTooLarge, UnsupportedMediaType}
    return found


def members(refusal: type[Exception]) -> Iterator[type[Exception]]:
    """The classes below `refusal` that have no subclasses; a class without subclasses is its own only member."""
    below = refusal.__subclasses__()
    if not below:
        yield refusal
    for one in below:
        yield from members(one)


def _handlers(route: BaseRoute) -> Sequence[BaseRouteHandler]:
    if isinstance(route, HTTPRoute):
        return route.route_handlers
    return [route.route_handler] if isinstance(route, (WebSocketRoute, ASGIRoute)) else []


def _is_options(handler: BaseRouteHandler) -> bool:
    return isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}
