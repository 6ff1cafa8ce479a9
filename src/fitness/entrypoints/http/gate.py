"""The one piece of code that every routed request passes: it finds the caller, charges the limits, checks the path."""

import re
from typing import Any

from litestar import Request
from litestar.exceptions import NotFoundException
from litestar.types import ASGIApp, Receive, Scope, Send

from fitness.domain.model.api_keys import KEY_PREFIX, ApiScope
from fitness.domain.model.fields import MAX_INT64
from fitness.domain.model.logins import Device
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import InsufficientScope, NotAuthenticated, Refusal
from fitness.domain.model.users import Caller, EmailAddress, normalized_email
from fitness.domain.use_cases.administration import AdminService
from fitness.domain.use_cases.api_keys import ApiKeyService
from fitness.domain.use_cases.requesters import Requester
from fitness.entrypoints.http.arrived import ARRIVED, Arrived
from fitness.entrypoints.http.bodies import DECODED_BODY, decode_json
from fitness.entrypoints.http.charging import Charging
from fitness.entrypoints.http.kinds import MalformedRequest
from fitness.entrypoints.http.queries import NoQuery, parsed_query
from fitness.entrypoints.http.routes import Access, Route, declared
from fitness.ports.credentials import AccessTokenPort, DeviceTokenPort

REQUESTER = "fitness.requester"
"""The key of the scope that holds the Requester."""

DEVICE_TOKEN = "Device-Token"  # noqa: S105 - a header's name
"""The request header in which a login sends the device token of the last one."""

DEVICE_COOKIE = "fitness_device"
"""The cookie in which a browser sends the device token."""

# Routing reads ids with int(), which takes full-width digits, 1_000 and " 1" as well: each would be one more spelling.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/.-]*")


class Gate:
    """An ASGI middleware that runs after routing, so that a route's limits hold for every spelling of its path.

    It is raw ASGI for speed: Litestar's guards and dependencies make several objects for each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: AccessTokenPort,
        devices: DeviceTokenPort,
        charging: Charging,
        administration: AdminService,
        keys: ApiKeyService,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._devices = devices
        self._charging = charging
        self._administration = administration
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = declared(scope["route_handler"])
        # The limits are charged before any refusal is given, so that guessing tokens costs as much as asking properly.
        # The headers alone say whom to charge, so the charge comes before any body is read as well.
        caller, auth_error = await self._caller(scope, route)
        arrived: Arrived = scope[ARRIVED]  # type: ignore[literal-required]
        arrived.caller = caller
        device = self._device(scope) if route.action is Action.LOGIN else None
        requester = Requester(self._charging.address(scope), caller, device)
        if route.limited or auth_error is not None:
            await self._charging.charge(route.action, requester, scope)
        if auth_error is not None:
            raise auth_error
        if not route.free_path:
            _refuse_odd_path(scope)
        if scope["query_string"] and route.query is None and route.of_api:
            parsed_query(scope["query_string"], NoQuery)
        if route.access is Access.ADMIN:
            assert caller is not None
            await self._administration.authorize(caller)
        if route.action is Action.LOGIN:
            await self._charge_guess(requester, scope, receive, send)
        scope["user"] = caller
        scope[REQUESTER] = requester  # type: ignore[literal-required]
        await self._app(scope, receive, send)

    async def _charge_guess(self, requester: Requester, scope: Scope, receive: Receive, send: Send) -> None:
        """Charge a login to the account that its body names. A login whose body cannot be read is charged as well."""
        try:
            account = await _account(scope, receive, send)
        except Exception:
            await self._charging.charge_guess(None, requester, scope)
            raise
        await self._charging.charge_guess(account, requester, scope)

    def _device(self, scope: Scope) -> Device | None:
        """The device, by the token of its last login in the header, or else in the cookie. None without a valid one."""
        token = _header(scope, DEVICE_TOKEN.lower().encode()) or _cookie(scope, DEVICE_COOKIE)
        return None if token is None else self._devices.verify(token)

    async def _caller(self, scope: Scope, route: Route) -> tuple[Caller | None, Refusal | None]:
        """The caller that the access token or the API key names, and a refusal, to be raised after the charge."""
        if route.access is Access.PUBLIC:
            return None, None
        try:
            token = _token(scope)
            if token is not None and token.startswith(KEY_PREFIX):
                return await self._caller_by_key(token, scope, route)
            if token is not None:
                return self._tokens.verify(token), None
        except NotAuthenticated as error:
            return None, error
        if route.access is Access.ACCOUNT_OPTIONAL:
            return None, None
        return None, NotAuthenticated("this needs an access token: Authorization: Bearer …", token_given=False)

    async def _caller_by_key(self, token: str, scope: Scope, route: Route) -> tuple[Caller, InsufficientScope | None]:
        """A key that this process has not seen is charged to the client's address before the database is asked, so that
        guessing keys is limited like guessing access tokens. Raises NotAuthenticated, RateLimited.
        """
        is_new = not self._keys.is_known(token)
        if is_new:
            await self._charging.charge(Action.OTHER, Requester(self._charging.address(scope)), scope)
        try:
            key = await self._keys.verify(token)
        except NotAuthenticated:
            arrived: Arrived = scope[ARRIVED]  # type: ignore[literal-required]
            arrived.charged = arrived.charged or is_new
            raise
        if isinstance(route.scope, ApiScope):
            return key.caller, None if route.scope in key.scopes else InsufficientScope(route.scope)
        return key.caller, InsufficientScope(None)


def requester_of(request: Request[Any, Any, Any]) -> Requester:
    """The requester that the gate found."""
    requester: Requester = request.scope[REQUESTER]  # type: ignore[literal-required]
    return requester


def _token(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and token:
                return token.strip()
    return None


def _header(scope: Scope, wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), None)


def _cookie(scope: Scope, wanted: str) -> str | None:
    for pair in (_header(scope, b"cookie") or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == wanted:
            return value
    return None


async def _account(scope: Scope, receive: Receive, send: Send) -> EmailAddress | None:
    """The address that a login's body names; None if it names none, which the handler refuses.

    Litestar keeps the body for the handler, and the scope the decoded body. Raises HTTPException if it is too large.
    """
    body = await Request[Any, Any, Any](scope, receive, send).body()
    try:
        fields = decode_json(body)
    except MalformedRequest:
        return None
    scope[DECODED_BODY] = fields  # type: ignore[literal-required]
    email = fields.get("email") if isinstance(fields, dict) else None
    return normalized_email(email) if isinstance(email, str) else None


def _refuse_odd_path(scope: Scope) -> None:
    """Raises NotFoundException for a path that the service itself would never write, or an id that no object has."""
    if not _PLAIN_PATH.fullmatch(scope["path"]):
        raise NotFoundException
    identifiers: dict[str, Any] = scope["path_params"]
    if any(isinstance(value, int) and value > MAX_INT64 for value in identifiers.values()):
        raise NotFoundException
