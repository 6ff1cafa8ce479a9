"""/auth: sessions, from the login to their end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fitness.domain.model.fields import Says
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import BadRefreshToken, SessionNotFound
from fitness.domain.model.sessions import Session
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.sessions import Client, SessionService
from fitness.entrypoints.http.accounts import NO_STORE, Tokens, login, register, reset_password, token_fields
from fitness.entrypoints.http.api_keys import create_key, list_keys, revoke_key
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.gate import requester_of
from fitness.entrypoints.http.routes import LOGIN_ONLY, Access, Route
from fitness.ports.outages import SessionsUnavailable


@dataclass(frozen=True, slots=True)
class Refresh:
    refresh_token: Annotated[str, Says("The last one that was given.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBody:
    id: str
    device: str | None
    """What the client called itself at the login (User-Agent)."""
    created_at: datetime
    last_used_at: datetime
    """When its refresh token was last used."""
    address: str
    """The network from which that was; no more than a /24, or a /48 of IPv6."""
    current: bool
    """Whether it is the session of this request."""


@dataclass(frozen=True, slots=True)
class Sessions:
    items: tuple[SessionBody, ...]


@post(
    "/refresh",
    status_code=200,
    dto=JsonBody[Refresh],
    return_dto=None,
    opt=Route(access=Access.PUBLIC, action=Action.REFRESH, refuses=(BadRefreshToken, SessionsUnavailable)).opt,
)
async def refresh(
    data: JSONBody[Refresh], request: Request[None, Any, Any], sessions: NamedDependency[SessionService]
) -> Response[Tokens]:
    """Get the next access token and the next refresh token. Each refresh token is used once; if the answer was lost,
    ask again with it within 60 seconds. An older one ends the session.
    """
    client = Client(requester_of(request).address, request.headers.get("user-agent"))
    return Response(Tokens(**token_fields(await sessions.refresh(data.refresh_token, client))), headers=NO_STORE)


@post("/logout", status_code=204, opt=Route(access=Access.ACCOUNT, scope=LOGIN_ONLY, action=Action.OTHER).opt)
async def logout(request: Request[Caller, Any, Any], sessions: NamedDependency[SessionService]) -> None:
    """End this session: its tokens are good for nothing from now on."""
    await sessions.logout(request.user)


@post("/logout-all", status_code=204, opt=Route(access=Access.ACCOUNT, scope=LOGIN_ONLY, action=Action.OTHER).opt)
async def logout_all(request: Request[Caller, Any, Any], sessions: NamedDependency[SessionService]) -> None:
    """End every session of the account, this one too."""
    await sessions.logout_all(request.user)


@get(
    "/sessions",
    opt=Route(access=Access.ACCOUNT, scope=LOGIN_ONLY, action=Action.OTHER, refuses=(SessionsUnavailable,)).opt,
)
async def list_sessions(request: Request[Caller, Any, Any], sessions: NamedDependency[SessionService]) -> Sessions:
    """Where one is logged in, the last used first; at most 50."""
    found = await sessions.list(by=request.user)
    return Sessions(tuple(_body(session, request.user) for session in found))


@delete(
    "/sessions/{session_id:str}",
    opt=Route(access=Access.ACCOUNT, scope=LOGIN_ONLY, action=Action.OTHER, refuses=(SessionNotFound,)).opt,
)
async def revoke_session(
    session_id: FromPath[str], request: Request[Caller, Any, Any], sessions: NamedDependency[SessionService]
) -> None:
    """End one session, on whatever device it is."""
    await sessions.revoke(session_id, by=request.user)


def _body(session: Session, caller: Caller) -> SessionBody:
    return SessionBody(
        id=session.id,
        device=session.device,
        created_at=session.logged_in_at,
        last_used_at=session.last_used_at,
        address=session.network,
        current=session.id == caller.session_id,
    )


auth_router = Router(
    "/auth",
    tags=["accounts"],
    route_handlers=[
        register,
        login,
        reset_password,
        refresh,
        logout,
        logout_all,
        list_sessions,
        revoke_session,
        create_key,
        list_keys,
        revoke_key,
    ],
)
