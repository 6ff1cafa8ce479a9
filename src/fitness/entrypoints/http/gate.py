"""The one piece of code that every routed request passes: well-formed address, known caller."""

import re
from typing import Any

from litestar.exceptions import NotFoundException
from litestar.types import ASGIApp, Receive, Scope, Send

from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import Caller
from fitness.ports.credentials import AccessTokenPort

PUBLIC = "public"
"""The `opt` of routes that need no access token."""

DATABASELESS = "databaseless"
"""The `opt` of routes that answer without the database."""

MAX_ID = 2**63 - 1

# Routing reads ids with int(), which takes full-width digits, 1_000 and " 1" as well; addresses here are plain.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/.-]*")


class Gate:
    """Raw ASGI, run after routing: no guard, dependency or object per request."""

    def __init__(self, app: ASGIApp, tokens: AccessTokenPort) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _refuse_odd_address(scope)
        if not scope["route_handler"].opt.get(PUBLIC):
            scope["user"] = self._caller(scope)
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        for name, value in scope["headers"]:
            if name == b"authorization":
                kind, _, token = value.decode("latin-1").partition(" ")
                if kind.lower() == "bearer" and token:
                    return self._tokens.verify(token.strip())
        raise NotAuthenticated("this needs an access token: Authorization: Bearer …", token_given=False)


def _refuse_odd_address(scope: Scope) -> None:
    path = scope["path"]
    if not _PLAIN_PATH.fullmatch(path):
        raise NotFoundException
    identifiers: dict[str, Any] = scope["path_params"]
    if any(isinstance(value, int) and value > MAX_ID for value in identifiers.values()):
        raise NotFoundException
