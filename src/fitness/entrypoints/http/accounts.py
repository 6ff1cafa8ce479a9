"""/auth and /users/me: registering, logging in, and the caller's profile."""

from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Request, Response, Router, get, patch, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import JSONBody

from fitness.domain.model.fields import Says
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import BadCredentials, EmailTaken
from fitness.domain.model.users import (
    EXAMPLE_PASSWORD,
    Caller,
    Email,
    ProfileChanges,
    Registration,
    User,
    normalized_email,
)
from fitness.domain.use_cases.accounts import AccountService
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.gate import DEVICE_COOKIE, DEVICE_TOKEN, requester_of
from fitness.entrypoints.http.routes import Access, Route
from fitness.ports.credentials import DEVICE_TOKEN_TTL_S

NO_STORE = {"Cache-Control": "no-store"}
"""Tokens are kept by nobody but the client itself (RFC 6749, 5.1)."""


@dataclass(frozen=True, slots=True)
class Login:
    email: Email
    password: Annotated[str, Says("As it was registered.", EXAMPLE_PASSWORD, "password")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    access_token: Annotated[str, Says("Sent with each request: `Authorization: Bearer …`.")]
    token_type: Annotated[str, Says("How it is sent.", "Bearer")]
    expires_in: Annotated[int, Says("Seconds.", 900)]
    device_token: Annotated[
        str, Says("Sent back as `Device-Token` with this device's next login: then nobody else's attempts keep it out.")
    ]


@post(
    "/register",
    dto=JsonBody[Registration],
    return_dto=None,
    opt=Route(access=Access.PUBLIC, action=Action.REGISTER, refuses=(EmailTaken,)).opt,
)
async def register(data: JSONBody[Registration], accounts: NamedDependency[AccountService]) -> User:
    """Open an account."""
    return await accounts.register(data)


@post(
    "/login",
    status_code=200,
    dto=JsonBody[Login],
    return_dto=None,
    opt=Route(
        access=Access.PUBLIC,
        action=Action.LOGIN,
        refuses=(BadCredentials,),
        sends=("Set-Cookie",),
        unstored=True,
        headers={DEVICE_TOKEN: "the `device_token` of this device's last login; browsers may send the cookie instead"},
    ).opt,
)
async def login(
    data: JSONBody[Login], request: Request[None, Any, Any], accounts: NamedDependency[AccountService]
) -> Response[Tokens]:
    """Get an access token, to be sent as `Authorization: Bearer …`."""
    found = await accounts.login(normalized_email(data.email), data.password, by=requester_of(request))
    tokens = Tokens(
        access_token=found.access.token,
        token_type="Bearer",  # noqa: S106 - no password
        expires_in=found.access.expires_in_s,
        device_token=found.device_token,
    )
    return Response(tokens, headers=NO_STORE, cookies=[_device_cookie(found.device_token)])


def _device_cookie(token: str) -> Cookie:
    """Sent with logins alone, to this site alone, and to no script."""
    return Cookie(
        DEVICE_COOKIE,
        value=token,
        path="/api/v1/auth/login",
        max_age=DEVICE_TOKEN_TTL_S,
        httponly=True,
        secure=True,
        samesite="strict",
    )


@get("/me", opt=Route(access=Access.ACCOUNT, action=Action.OTHER).opt)
async def get_me(request: Request[Caller, Any, Any], accounts: NamedDependency[AccountService]) -> User:
    """The caller's profile."""
    return await accounts.me(request.user)


@patch(
    "/me",
    dto=JsonBody[ProfileChanges],
    return_dto=None,
    opt=Route(access=Access.ACCOUNT, action=Action.OTHER).opt,
)
async def update_me(
    data: JSONBody[ProfileChanges], request: Request[Caller, Any, Any], accounts: NamedDependency[AccountService]
) -> User:
    """Merge patch; null clears the name. The timezone is the default of activities recorded from now on."""
    return await accounts.update_me(data, by=request.user)


auth_router = Router("/auth", tags=["accounts"], route_handlers=[register, login])
users_router = Router("/users", tags=["accounts"], route_handlers=[get_me, update_me])
