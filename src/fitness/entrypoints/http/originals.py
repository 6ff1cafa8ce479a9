"""/activities/{id}/file: the recording as it was uploaded."""

from typing import Any, cast
from urllib.parse import quote

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.originals import MEDIA_TYPES, Original, safe_file_name
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import ActivityExpired, ActivityInTrash, ActivityNotFound, RecordingNotFound
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.originals import OriginalService
from fitness.entrypoints.http.delivery import is_known
from fitness.entrypoints.http.etags import IF_NONE_MATCH
from fitness.entrypoints.http.routes import Access, Route
from fitness.ports.outages import ObjectsUnavailable


@get(
    "/{activity_id:int}/file",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.OTHER,
        refuses=(ActivityNotFound, ActivityInTrash, ActivityExpired, RecordingNotFound, ObjectsUnavailable),
        headers=IF_NONE_MATCH,
        sends=("Content-Disposition",),
        files=MEDIA_TYPES,
    ).opt,
)
async def get_file(
    activity_id: FromPath[int], request: Request[Caller, Any, Any], originals: NamedDependency[OriginalService]
) -> Response[bytes]:
    """The recording that the activity was made of, as it was uploaded: the activities of one recording share it."""
    original = await originals.original(activity_id, by=request.user)
    headers = {"ETag": f'"{original.digest}"', "Content-Disposition": _attachment(original, activity_id)}
    if is_known(request, headers["ETag"]):
        return Response(b"", headers=headers, media_type=original.media_type)  # the edge makes it a 304
    content = await originals.content(original, activity_id)
    headers["Content-Length"] = str(original.size_bytes)
    # The API document describes a stream as bytes.
    return cast("Response[bytes]", Stream(content, headers=headers, media_type=original.media_type))


def _attachment(original: Original, activity_id: int) -> str:
    """RFC 6266: a plain name for old clients, and the whole one where that is another."""
    name = safe_file_name(original.file_name, activity_id, original.media_type)
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    whole = "" if plain == name else f"; filename*=UTF-8''{quote(name)}"
    return f'attachment; filename="{plain}"{whole}'
