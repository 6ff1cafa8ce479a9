"""/auth and /users/me: registering, logging in, and the caller's profile."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, delete, get, patch, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import JSONBody

from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.fields import Says
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import (
    BadCredentials,
    BadResetToken,
    EmailTaken,
    LastAdmin,
    ProfileMismatch,
    WrongPassword,
)
from fitness.domain.model.users import (
    EXAMPLE_PASSWORD,
    Caller,
    Email,
    Password,
    ProfileChanges,
    Registration,
    User,
    normalized_email,
)
from fitness.domain.use_cases.accounts import AccountService
from fitness.domain.use_cases.sessions import SessionTokens
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.etags import (
    IF_MATCH,
    IF_NONE_MATCH,
    IF_NONE_MATCH_TO_CHANGE,
    content_tag,
    tags_to_change,
    tags_to_read,
)
from fitness.entrypoints.http.gate import DEVICE_COOKIE, DEVICE_TOKEN, requester_of
from fitness.entrypoints.http.routes import LOGIN_ONLY, Access, Route
from fitness.ports.credentials import DEVICE_TOKEN_TTL_S

NO_STORE = {"Cache-Control": "no-store"}
"""Tokens are kept by nobody but the client itself (RFC 6749, 5.1)."""


PresentPassword = Annotated[str, Says("The one that the account has now.", EXAMPLE_PASSWORD, "password")]


@dataclass(frozen=True, slots=True)
class Login:
    email: Email
    password: PresentPassword


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    access_token: Annotated[str, Says("Sent with each request: `Authorization: Bearer …`.")]
    token_type: Annotated[str, Says("How it is sent.", "Bearer")]
    expires_in: Annotated[int, Says("Seconds.", 900)]
    refresh_token: Annotated[
        str | None,
        Says(
            "Sent to `/auth/refresh`, once, for the next tokens. Null while sessions cannot be kept: then log in again."
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginTokens(Tokens):
    device_token: Annotated[
        str, Says("Sent back as `Device-Token` with this device's next login: then nobody else's attempts keep it out.")
    ]


@dataclass(frozen=True, slots=True)
class PasswordChange:
    current: PresentPassword
    new: Password


@dataclass(frozen=True, slots=True)
class Reset:
    reset_token: Annotated[str, Says("As an admin gave it to the account's owner.")]
    password: Password


@dataclass(frozen=True, slots=True)
class Deletion:
    password: PresentPassword


def token_fields(session: SessionTokens) -> dict[str, Any]:
    """The fields of Tokens."""
    return {
        "access_token": session.access.token,
        "token_type": "Bearer",
        "expires_in": session.access.expires_in_s,
        "refresh_token": session.refresh,
    }


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
        headers={DEVICE_TOKEN: "The `device_token` of this device's last login; browsers may send the cookie instead"},
    ).opt,
)
async def login(
    data: JSONBody[Login], request: Request[None, Any, Any], accounts: NamedDependency[AccountService]
) -> Response[LoginTokens]:
    """Begin a session: an access token, to be sent as `Authorization: Bearer …`, and a refresh token for the next."""
    found = await accounts.login(
        normalized_email(data.email),
        data.password,
        by=requester_of(request),
        user_agent=request.headers.get("user-agent"),
    )
    tokens = LoginTokens(**token_fields(found.session), device_token=found.device_token)
    return Response(tokens, cookies=[_device_cookie(found.device_token)], headers=NO_STORE)


def _device_cookie(token: str) -> Cookie:
    """A cookie that is sent with logins only, to this site only, and that no script can read."""
    return Cookie(
        DEVICE_COOKIE,
        value=token,
        path="/api/v1/auth/login",
        max_age=DEVICE_TOKEN_TTL_S,
        httponly=True,
        secure=True,
        samesite="strict",
    )


@get(
    "/me",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.PROFILE_READ,
        action=Action.OTHER,
        refuses=(ProfileMismatch,),
        headers=IF_NONE_MATCH | IF_MATCH,
    ).opt,
)
async def get_me(request: Request[Caller, Any, Any], accounts: NamedDependency[AccountService]) -> Response[User]:
    """The caller's profile; 304 while `If-None-Match` names its current `ETag`."""
    is_meant = tags_to_read(request)
    user = await accounts.me(request.user)
    if not is_meant(profile_tag(user)):
        raise ProfileMismatch
    return _profile(user)


@patch(
    "/me",
    dto=JsonBody[ProfileChanges],
    return_dto=None,
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.PROFILE_WRITE,
        action=Action.OTHER,
        refuses=(ProfileMismatch,),
        headers=IF_MATCH | IF_NONE_MATCH_TO_CHANGE,
        sends=("ETag",),
    ).opt,
)
async def update_me(
    data: JSONBody[ProfileChanges], request: Request[Caller, Any, Any], accounts: NamedDependency[AccountService]
) -> Response[User]:
    """Merge patch; null clears the name. The timezone is the default of activities recorded from now on.

    `If-Match` protects the changes of others.
    """
    return _profile(await accounts.update_me(data, by=request.user, meant=tags_to_change(request, profile_tag)))


@post(
    "/me/password",
    status_code=204,
    dto=JsonBody[PasswordChange],
    return_dto=None,
    opt=Route(access=Access.ACCOUNT, scope=LOGIN_ONLY, action=Action.PASSWORD, refuses=(WrongPassword,)).opt,
)
async def change_password(
    data: JSONBody[PasswordChange], request: Request[Caller, Any, Any], accounts: NamedDependency[AccountService]
) -> None:
    """Change the password; every other session of the account ends."""
    await accounts.change_password(data.current, data.new, by=request.user)


@post(
    "/reset",
    status_code=204,
    dto=JsonBody[Reset],
    return_dto=None,
    opt=Route(access=Access.PUBLIC, action=Action.REGISTER, refuses=(BadResetToken,)).opt,
)
async def reset_password(data: JSONBody[Reset], accounts: NamedDependency[AccountService]) -> None:
    """Set another password by the token that an admin issued, once. Every session of the account ends."""
    await accounts.reset_password(data.reset_token, data.password)


@delete(
    "/me",
    dto=JsonBody[Deletion],
    return_dto=None,
    opt=Route(
        access=Access.ACCOUNT,
        scope=LOGIN_ONLY,
        action=Action.PASSWORD,
        refuses=(WrongPassword, LastAdmin, ProfileMismatch),
        headers=IF_MATCH | IF_NONE_MATCH_TO_CHANGE,
    ).opt,
)
async def delete_me(
    data: JSONBody[Deletion], request: Request[Caller, Any, Any], accounts: NamedDependency[AccountService]
) -> None:
    """Delete the account: nobody can log in to it, and its address is free. An admin can undo that for 30 days."""
    await accounts.delete_me(data.password, by=request.user, meant=tags_to_change(request, profile_tag))


def profile_tag(user: User) -> str:
    """The profile's ETag. It covers every field, also role and tier, which others change."""
    return content_tag(msgspec.json.encode(user)).decode()


def _profile(user: User) -> Response[User]:
    return Response(user, headers={"ETag": profile_tag(user)})


users_router = Router("/users", tags=["accounts"], route_handlers=[get_me, update_me, change_password, delete_me])
