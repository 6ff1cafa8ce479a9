"""/users/me/export, /exports and /activities.csv: exports of the caller's data."""

from typing import Any, cast

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.exports import ExportStatus
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import ExportNotFound
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.exporting import ExportService
from fitness.entrypoints.http.arrived import ARRIVED, Arrived
from fitness.entrypoints.http.filters import TableQuery, filter_of
from fitness.entrypoints.http.queries import read_query
from fitness.entrypoints.http.routes import LOGIN_ONLY, Access, Route
from fitness.entrypoints.http.streams import UNBUFFERED, Streamed, nothing
from fitness.ports.outages import ObjectsUnavailable

ZIP, CSV = "application/zip", "text/csv"


@post(
    "/users/me/export",
    status_code=202,
    tags=["accounts"],
    opt=Route(access=Access.ACCOUNT, scope=LOGIN_ONLY, action=Action.CREATE, unstored=True).opt,
)
async def request_export(
    request: Request[Caller, Any, Any], exports: NamedDependency[ExportService]
) -> Response[ExportStatus]:
    """Ask for an archive of all that is the caller's: profile, activities and trash as JSON and CSV, files and photos.

    It is made in the background; `GET` says when it is ready. Where one waits or is ready, it is that one.
    """
    return Response(await exports.request(by=request.user), status_code=202, headers={"Cache-Control": "no-store"})


@get(
    "/users/me/export",
    tags=["accounts"],
    opt=Route(
        access=Access.ACCOUNT, scope=LOGIN_ONLY, action=Action.OTHER, refuses=(ExportNotFound,), unstored=True
    ).opt,
)
async def get_export(
    request: Request[Caller, Any, Any], exports: NamedDependency[ExportService]
) -> Response[ExportStatus]:
    """How it stands with the archive that was asked for last; while it is ready, with its `url`."""
    return Response(await exports.status(by=request.user), headers={"Cache-Control": "no-store"})


@get(
    "/exports/{token:str}",
    tags=["accounts"],
    opt=Route(
        access=Access.PUBLIC,
        action=Action.OTHER,
        refuses=(ExportNotFound, ObjectsUnavailable),
        sends=("Content-Disposition", "X-Accel-Buffering"),
        files=(ZIP,),
        unstored=True,
    ).opt,
)
async def download_export(
    token: FromPath[str], request: Request[Any, Any, Any], exports: NamedDependency[ExportService]
) -> Response[bytes]:
    """The archive, once: whoever has the link needs no token.

    The link is used up once all of the archive was sent; a download that was broken off can be begun anew. While one
    runs, others are 404. HEAD does not use it up.
    """
    arrived: Arrived = request.scope[ARRIVED]  # type: ignore[literal-required]
    if arrived.method == "HEAD":
        export, content = await exports.ready(token), nothing()
    else:
        export, content = await exports.download(token)
    name = f"fitness-{export.requested_at:%Y-%m-%d}.zip"
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(export.size_bytes),
    }
    return Streamed(content, headers=headers | UNBUFFERED, media_type=ZIP)


@get(
    "/activities.csv",
    tags=["activities"],
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.LIST,
        query=TableQuery,
        sends=("Content-Disposition",),
        files=(CSV,),
        unstored=True,
    ).opt,
)
async def get_table(request: Request[Caller, Any, Any], exports: NamedDependency[ExportService]) -> Response[bytes]:
    """The caller's activities as a table (RFC 4180), all of those that the filters name.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    which = filter_of(read_query(request, TableQuery))
    headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="activities.csv"'}
    content = exports.table(which, by=request.user)
    return cast("Response[bytes]", Stream(content, headers=headers, media_type=CSV))


exports_router = Router("/", route_handlers=[request_export, get_export, download_export, get_table])
