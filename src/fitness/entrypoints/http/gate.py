"""The one piece of code that every routed request passes: known caller, charged limits, well-formed address."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from litestar import Request
from litestar.exceptions import HTTPException, NotFoundException
from litestar.types import ASGIApp, Receive, Scope, Send

from fitness.domain.model.rate_limits import Action, Decision, RateLimited
from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import Caller, EmailAddress, normalized_email
from fitness.domain.use_cases.limiting import LimitService, Requester
from fitness.entrypoints.http.addresses import Network, client_address
from fitness.entrypoints.http.bodies import DECODED_BODY, decode_json
from fitness.entrypoints.http.edge import RESPONSE_HEADERS
from fitness.entrypoints.http.problems import MalformedRequest
from fitness.ports.credentials import AccessTokenPort

PUBLIC = "public"
"""The `opt` of routes that need no access token."""

CALLER_IF_ANY = "caller_if_any"
"""The `opt` of routes that take an access token, and do without."""

FREE = "free"
"""The `opt` of routes that no limit applies to."""

ACTION = "action"
"""The `opt` that says what a route does, as far as limits are concerned; any request else."""

DATABASELESS = "databaseless"
"""The `opt` of routes that answer without the database."""

REQUESTER = "fitness.requester"
"""Where in the scope it stands who asks."""

MAX_ID = 2**63 - 1

# Routing reads ids with int(), which takes full-width digits, 1_000 and " 1" as well; addresses here are plain.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/.-]*")


Told = Callable[[Decision, str, Requester], None]


class Gate:
    """Raw ASGI, run after routing: no guard, dependency or object per request.

    Limits hang on the route, so no spelling of its address dodges them, and are charged before anything else is done.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: AccessTokenPort,
        limits: LimitService,
        trusted_proxies: Iterable[Network],
        headers: Callable[[Decision], Iterable[tuple[bytes, bytes]]],
        refused: Told,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._limits = limits
        self._trusted_proxies = tuple(trusted_proxies)
        self._headers = headers
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        opt = scope["route_handler"].opt
        caller, stranger = None, None
        if not opt.get(PUBLIC):
            try:
                caller = self._caller(scope, optional=opt.get(CALLER_IF_ANY, False))
            except NotAuthenticated as error:
                stranger = error
        action, account, unreadable = opt.get(ACTION, Action.OTHER), None, None
        if action is Action.LOGIN:
            try:
                account = await _account(scope, receive, send)
            except HTTPException as error:  # too large; what is left of the body is not to be read as one
                unreadable = error
        requester = Requester(self._address(scope), caller, account)
        if stranger is not None or not (opt.get(FREE) or opt.get(CALLER_IF_ANY)):
            await self._charge(action, requester, scope)
        if stranger is not None:
            raise stranger
        if unreadable is not None:
            raise unreadable
        _refuse_odd_address(scope)
        scope["user"] = caller
        scope[REQUESTER] = requester  # type: ignore[literal-required]
        await self._app(scope, receive, send)

    async def _charge(self, action: Action, requester: Requester, scope: Scope) -> None:
        left: list[tuple[bytes, bytes]] = scope[RESPONSE_HEADERS]  # type: ignore[literal-required]
        try:
            decision = await self._limits.admit(action, requester)
        except RateLimited as refusal:
            left += self._headers(refusal.decision)
            self._refused(refusal.decision, scope["path_template"], requester)
            raise
        if decision is not None:
            left += self._headers(decision)

    def _caller(self, scope: Scope, *, optional: bool) -> Caller | None:
        for name, value in scope["headers"]:
            if name == b"authorization":
                kind, _, token = value.decode("latin-1").partition(" ")
                if kind.lower() == "bearer" and token:
                    return self._tokens.verify(token.strip())
        if optional:
            return None
        raise NotAuthenticated("this needs an access token: Authorization: Bearer …", token_given=False)

    def _address(self, scope: Scope) -> str:
        client = scope["client"]
        forwarded_for: list[str] = []
        if self._trusted_proxies:
            forwarded_for = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return client_address(client[0] if client else None, forwarded_for, self._trusted_proxies)


def requester_of(request: Request[Any, Any, Any]) -> Requester:
    """The requester that the gate found."""
    requester: Requester = request.scope[REQUESTER]  # type: ignore[literal-required]
    return requester


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


def _refuse_odd_address(scope: Scope) -> None:
    path = scope["path"]
    if not _PLAIN_PATH.fullmatch(path):
        raise NotFoundException
    identifiers: dict[str, Any] = scope["path_params"]
    if any(isinstance(value, int) and value > MAX_ID for value in identifiers.values()):
        raise NotFoundException
