"""The one piece of code that every routed request passes: it finds the caller, charges the limits, checks the path."""

import re
from typing import Any

from litestar import Request
from litestar.exceptions import HTTPException, NotFoundException
from litestar.types import ASGIApp, Receive, Scope, Send

from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import Caller, EmailAddress, normalized_email
from fitness.domain.use_cases.limiting import Requester
from fitness.entrypoints.http.bodies import DECODED_BODY, decode_json
from fitness.entrypoints.http.charging import Charging
from fitness.entrypoints.http.problems import MalformedRequest
from fitness.entrypoints.http.routes import Access, Route, declared
from fitness.ports.credentials import AccessTokenPort

REQUESTER = "fitness.requester"
"""The key of the scope under which the Requester stands."""

MAX_ID = 2**63 - 1

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
        charging: Charging,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._charging = charging

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = declared(scope["route_handler"])
        # The limits are charged before any refusal is given, so that guessing tokens or sending broken bodies costs as
        # much as asking properly. But whom to charge is known only from the token and, at a login, from the body.
        # Hence what is wrong with either is kept until after the charge.
        caller, auth_error = self._caller(scope, route)
        account, body_error = None, None
        if route.action is Action.LOGIN:
            try:
                account = await _account(scope, receive, send)
            except HTTPException as error:
                body_error = error  # too large: the handler must not read the rest of it as a body
        requester = Requester(self._charging.address(scope), caller, account)
        if route.limited or auth_error is not None:
            await self._charging.charge(route.action, requester, scope)
        if auth_error is not None:
            raise auth_error
        if body_error is not None:
            raise body_error
        _refuse_odd_path(scope)
        scope["user"] = caller
        scope[REQUESTER] = requester  # type: ignore[literal-required]
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope, route: Route) -> tuple[Caller | None, NotAuthenticated | None]:
        """The account that the access token names, or why there is none."""
        if route.access is Access.PUBLIC:
            return None, None
        try:
            token = _token(scope)
            if token is not None:
                return self._tokens.verify(token), None
        except NotAuthenticated as error:
            return None, error
        if route.access is Access.ACCOUNT_OPTIONAL:
            return None, None
        return None, NotAuthenticated("this needs an access token: Authorization: Bearer …", token_given=False)


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


async def _account(scope: Scope, receive: Receive, send: Send) -> EmailAddress | None:
    """The address that a login's body names; None if it names none, which the handler refuses after the charge.

    Litestar keeps the body for the handler, and the scope what was decoded. Raises HTTPException if it is too large.
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
    """Raises NotFoundException for a path that no link of ours has."""
    if not _PLAIN_PATH.fullmatch(scope["path"]):
        raise NotFoundException
    identifiers: dict[str, Any] = scope["path_params"]
    if any(isinstance(value, int) and value > MAX_ID for value in identifiers.values()):
        raise NotFoundException
