"""/auth and /users/me: registering, logging in, and the caller's profile."""

from dataclasses import dataclass
from typing import Any

from litestar import Request, Router, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import BadCredentials, EmailTaken, LoginDelayed
from fitness.domain.model.users import Caller, ProfileChanges, Registration, User
from fitness.domain.use_cases.accounts import AccountService
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.gate import requester_of
from fitness.entrypoints.http.routes import Access, Route


@dataclass(frozen=True, slots=True)
class Login:
    email: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    access_token: str
    token_type: str
    expires_in: int
    """Seconds."""


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
    opt=Route(access=Access.PUBLIC, action=Action.LOGIN, refuses=(BadCredentials, LoginDelayed)).opt,
)
async def login(
    data: JSONBody[Login], request: Request[None, Any, Any], accounts: NamedDependency[AccountService]
) -> Tokens:
    """Get an access token, to be sent as `Authorization: Bearer …`."""
    address = requester_of(request).account
    assert address is not None  # the gate took it from this body, in which `email` is text
    access = await accounts.login(address, data.password)
    return Tokens(access_token=access.token, token_type="Bearer", expires_in=access.expires_in_s)  # noqa: S106


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
