"""/docs and /openapi.json: the API's reference, complete without any network but this service."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.response import Redirect

from fitness.domain.model.rate_limits import Action
from fitness.entrypoints.http.delivery import MIN_COMPRESSED_BYTES, gzip_tag, gzipped, takes_gzip
from fitness.entrypoints.http.document import api_document
from fitness.entrypoints.http.etags import content_tag
from fitness.entrypoints.http.routes import Access, Route

# Scripts and styles come from this service only; the page's own icons are data: URLs.
SECURITY_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

_OPEN = Route(access=Access.PUBLIC, action=Action.OTHER, limited=False, needs_database=False)

_ASSETS = files("fitness.entrypoints.http") / "assets"

_documents: WeakKeyDictionary[Litestar, bytes] = WeakKeyDictionary()


@get("/openapi.json", opt=_OPEN.opt, include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    document = _documents.get(request.app)
    if document is None:
        document = _documents[request.app] = msgspec.json.encode(api_document(request.app))
    return Response(document, media_type=MediaType.JSON)


@get("/", opt=_OPEN.opt, include_in_schema=False)
async def front_door() -> Redirect:
    return Redirect("/docs")


@get("/")
async def reference(request: Request[Any, Any, Any]) -> Response[bytes]:
    return _answered(request, "index.html", "text/html")


@get("/page.js")
async def page_script(request: Request[Any, Any, Any]) -> Response[bytes]:
    return _answered(request, "page.js", "text/javascript")


@get("/swagger-ui-bundle.js")
async def swagger_script(request: Request[Any, Any, Any]) -> Response[bytes]:
    return _answered(request, "swagger-ui-bundle.js", "text/javascript")


@get("/swagger-ui.css")
async def swagger_style(request: Request[Any, Any, Any]) -> Response[bytes]:
    return _answered(request, "swagger-ui.css", "text/css")


docs_router = Router(
    "/docs",
    opt=_OPEN.opt,
    include_in_schema=False,
    route_handlers=[reference, page_script, swagger_script, swagger_style],
)


def _answered(request: Request[Any, Any, Any], name: str, media_type: str) -> Response[bytes]:
    asset = _asset(name, takes_gzip(request.headers.get("accept-encoding", "")[:200].encode("latin-1")))
    headers = {"Content-Security-Policy": SECURITY_POLICY, "Cache-Control": "max-age=3600", "ETag": asset.tag}
    if asset.compressed:
        headers["Content-Encoding"] = "gzip"
    return Response(asset.content, media_type=media_type, headers=headers)


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    tag: str
    compressed: bool


@cache
def _asset(name: str, compressed: bool) -> _Asset:
    """One copy for all readers, however slowly they read; a small asset is not compressed."""
    content = (_ASSETS / name).read_bytes()
    tag = content_tag(content)
    if not compressed or len(content) < MIN_COMPRESSED_BYTES:
        return _Asset(content, tag.decode(), False)
    return _Asset(gzipped(content, level=9), gzip_tag(tag).decode(), True)
