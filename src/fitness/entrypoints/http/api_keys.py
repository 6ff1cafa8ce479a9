"""/auth/keys: API keys, made and revoked by their owner."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fitness.domain.model.api_keys import ApiKey, ApiScopes, KeyName
from fitness.domain.model.fields import Id, Says
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import KeyNotFound, TooManyKeys
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.api_keys import ApiKeyService
from fitness.entrypoints.http.accounts import NO_STORE
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.routes import LOGIN_ONLY, Access, Route


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    name: KeyName
    scopes: ApiScopes
    expires_at: (
        Annotated[datetime, Says("A time to come, up to the year 9999 in UTC; null is never.", "2099-01-01T00:00:00Z")]
        | None
    ) = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBody:
    id: Id
    name: KeyName
    scopes: ApiScopes
    created_at: datetime
    expires_at: datetime | None
    """Null is never."""
    last_used_at: datetime | None
    """To the hour; null is never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedKey(KeyBody):
    key: str
    """To be sent as `Authorization: Bearer …`. It is shown this once."""


@dataclass(frozen=True, slots=True)
class Keys:
    items: tuple[KeyBody, ...]


@post(
    "/keys",
    dto=JsonBody[NewKey],
    return_dto=None,
    opt=Route(access=Access.ACCOUNT, scope=LOGIN_ONLY, action=Action.OTHER, refuses=(TooManyKeys,)).opt,
)
async def create_key(
    data: JSONBody[NewKey], request: Request[Caller, Any, Any], keys: NamedDependency[ApiKeyService]
) -> Response[CreatedKey]:
    """Make a key for a program: it may do what its scopes name, until it expires or is revoked, or all sessions end."""
    kept, key = await keys.create(data.name, data.scopes, data.expires_at, by=request.user)
    return Response(CreatedKey(**_fields(kept), key=key), headers=NO_STORE)


@get("/keys", opt=Route(access=Access.ACCOUNT, scope=LOGIN_ONLY, action=Action.OTHER).opt)
async def list_keys(request: Request[Caller, Any, Any], keys: NamedDependency[ApiKeyService]) -> Keys:
    """One's keys, the latest first; at most 50."""
    return Keys(tuple(KeyBody(**_fields(key)) for key in await keys.list(by=request.user)))


@delete(
    "/keys/{key_id:int}",
    opt=Route(access=Access.ACCOUNT, scope=LOGIN_ONLY, action=Action.OTHER, refuses=(KeyNotFound,)).opt,
)
async def revoke_key(
    key_id: FromPath[int], request: Request[Caller, Any, Any], keys: NamedDependency[ApiKeyService]
) -> None:
    """Revoke a key; it is refused from the next request on."""
    await keys.revoke(key_id, by=request.user)


def _fields(key: ApiKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in KeyBody.__slots__}
