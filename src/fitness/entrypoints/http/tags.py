"""/tags: the caller's tags, all at once. The tags of one activity are set in its body."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from litestar import Request, Response, Router, delete, get, patch
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fitness.domain.model.activity_fields import TAG
from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.fields import Says
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import InvalidFields, TagNotFound
from fitness.domain.model.tags import Tags
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.tags import TagService
from fitness.entrypoints.http.bodies import JsonBody
from fitness.entrypoints.http.routes import Access, Route
from fitness.foundation.turns import Turns
from fitness.ports.outages import Overloaded

MOST_AT_ONCE = 4
"""Changes that have a turn or wait for one, in a process: each keeps a connection to the database busy for seconds."""
MOST_OF_A_USER = 2

ApiRequest = Request[Caller, Any, Any]


@dataclass(frozen=True, slots=True)
class TagName:
    name: Annotated[
        str, TAG, Says("Letter case, and in which of two ways an accent is typed, make no difference.", "lakeside")
    ]


class TagTurns(Turns):
    """One change of a user's tags at a time."""

    def __init__(self) -> None:
        super().__init__(most=MOST_AT_ONCE, most_each=MOST_OF_A_USER, full=_too_many)


def _too_many() -> Overloaded:
    return Overloaded("too many tags are being changed; try again")


@get(
    "/",
    opt=Route(access=Access.ACCOUNT, scope=ApiScope.ACTIVITIES_READ, action=Action.LIST, sends=("X-Cache",)).opt,
)
async def list_tags(request: ApiRequest, tags: NamedDependency[TagService]) -> Response[Tags]:
    """The caller's tags, each with the number of live activities that have it; the most used first, at most 1 000."""
    found = await tags.list(by=request.user)
    return Response(found.value, headers={"X-Cache": found.origin})


@patch(
    "/{name:path}",
    dto=JsonBody[TagName],
    return_dto=None,
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_WRITE,
        action=Action.CREATE,
        refuses=(TagNotFound,),
        free_path=True,
    ).opt,
)
async def rename_tag(
    name: FromPath[Path],
    data: JSONBody[TagName],
    request: ApiRequest,
    tags: NamedDependency[TagService],
    tag_turns: NamedDependency[TagTurns],
) -> TagName:
    """Rename a tag of the caller's activities. If they have the new one as well, the two are merged."""
    async with tag_turns.of(request.user.id):
        return TagName(await tags.rename(_named(request), data.name, by=request.user))


@delete(
    "/{name:path}",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_WRITE,
        action=Action.CREATE,
        refuses=(TagNotFound, InvalidFields),
        free_path=True,
    ).opt,
)
async def delete_tag(
    name: FromPath[Path],
    request: ApiRequest,
    tags: NamedDependency[TagService],
    tag_turns: NamedDependency[TagTurns],
) -> None:
    """Take a tag off all activities of the caller's. The activities stay."""
    async with tag_turns.of(request.user.id):
        await tags.delete(_named(request), by=request.user)


def _named(request: ApiRequest) -> str:
    """The tag in the path, from its raw text: of a tag with slashes, the router would make another name."""
    name = request.scope["raw_path"].decode("latin-1").partition("/tags/")[2]
    return unquote(name, errors="replace")


tags_router = Router("/tags", tags=["tags"], route_handlers=[list_tags, rename_tag, delete_tag])
