"""/docs and /openapi.json: the API's reference, complete without any network but this service."""

from dataclasses import MISSING, fields
from functools import cache
from importlib.resources import files
from types import NoneType
from typing import Any, get_args, get_type_hints

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.response import Redirect

from fitness import __version__
from fitness.domain.model.rate_limits import Action
from fitness.entrypoints.http.problems import Problem, kind_of
from fitness.entrypoints.http.routes import Access, Route, declared, operations, refusals_of

# Scripts and styles from here alone; the page's own icons are data.
SECURITY_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

_OPEN = Route(access=Access.PUBLIC, action=Action.OTHER, limited=False, needs_database=False)

_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.PUBLIC: [],
    Access.ACCOUNT_OPTIONAL: [{"bearer": []}, {}],
}
"""Other routes have the document's own: an access token is needed."""

_ASSETS = files("fitness.entrypoints.http") / "assets"

_DESCRIPTION = """
Record, list, correct, delete and undo training activities.

Register, log in, and put the `access_token` behind **Authorize**. Times are RFC 3339 with an offset. Errors are
`application/problem+json` with a stable `code`; the README lists them.
"""


class OpenApiDocument(OpenAPIRenderPlugin):
    """Litestar's document, with what it cannot see: query strings, headers, uploads and problems."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.JSON)
        self._document: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._document is None:
            self._document = msgspec.json.encode(_completed(openapi_schema, request.app))
        return self._document


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="fitness",
        version=__version__,
        description=_DESCRIPTION,
        path="/openapi.json",
        render_plugins=[OpenApiDocument()],
        openapi_router=Router("/openapi.json", route_handlers=[], opt=_OPEN.opt, include_in_schema=False),
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
        security=[{"bearer": []}],
        use_handler_docstrings=True,
    )


@get("/", opt=_OPEN.opt, include_in_schema=False)
async def front_door() -> Redirect:
    return Redirect("/docs")


@get("/")
async def reference() -> Response[bytes]:
    return _asset("index.html", "text/html")


@get("/page.js")
async def page_script() -> Response[bytes]:
    return _asset("page.js", "text/javascript")


@get("/swagger-ui-bundle.js")
async def swagger_script() -> Response[bytes]:
    return _asset("swagger-ui-bundle.js", "text/javascript")


@get("/swagger-ui.css")
async def swagger_style() -> Response[bytes]:
    return _asset("swagger-ui.css", "text/css")


docs_router = Router(
    "/docs",
    opt=_OPEN.opt,
    include_in_schema=False,
    route_handlers=[reference, page_script, swagger_script, swagger_style],
)


def _asset(name: str, media_type: str) -> Response[bytes]:
    headers = {"Content-Security-Policy": SECURITY_POLICY, "Cache-Control": "max-age=3600"}
    return Response(_content(name), media_type=media_type, headers=headers)


@cache
def _content(name: str) -> bytes:
    """One copy for all who read it, however slowly they do."""
    return (_ASSETS / name).read_bytes()


def _completed(document: dict[str, Any], app: Litestar) -> dict[str, Any]:
    # Litestar describes only what it reads itself. Query strings, uploads and problems are our own code's, so they are
    # added here, to the finished document, from what each handler's Route declares.
    schemas: dict[str, Any] = document["components"].setdefault("schemas", {})
    for schema in schemas.values():
        _leave_unset_out(schema)
    _schema(Problem, schemas)
    for method, path, handler in operations(app):
        operation = document["paths"].get(path, {}).get(method.lower())
        if operation is not None:
            _complete(operation, method, handler, schemas)
    return document


def _leave_unset_out(schema: dict[str, Any]) -> None:
    """Litestar takes UNSET for a default; it stands for a field that may be left out, which has none."""
    for field in schema.get("properties", {}).values():
        if field.get("default") is msgspec.UNSET:
            del field["default"]


def _complete(operation: dict[str, Any], method: str, handler: HTTPRouteHandler, schemas: dict[str, Any]) -> None:
    name, route = handler.handler_name, declared(handler)
    operation |= {"operationId": name, "summary": name.replace("_", " ").capitalize()}
    parameters = _parameters(route.query, schemas) if route.query else []
    parameters += [_header(header, meaning) for header, meaning in route.headers.items()]
    if parameters:
        operation.setdefault("parameters", []).extend(parameters)
    if route.upload:
        operation["requestBody"] = _upload(route.upload)
    if route.access in _SECURITY:
        operation["security"] = _SECURITY[route.access]
    operation["responses"] |= _problems(handler, method)


def _header(name: str, meaning: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}


def _parameters(query: type[Any], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    hints = get_type_hints(query, include_extras=True)
    parameters = []
    for field in fields(query):
        stated = [hint for hint in get_args(hints[field.name]) if hint is not NoneType]
        schema = _schema(stated[0] if field.default is None else hints[field.name], schemas)
        parameter: dict[str, Any] = {
            "name": field.name.rstrip("_"),
            "in": "query",
            "description": schema.pop("description", ""),
        }
        if field.default is MISSING:
            parameter["required"] = True
        elif field.default not in (None, ()):
            schema["default"] = field.default
        parameters.append(parameter | {"schema": schema})
    return parameters


def _schema(of: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type; what it refers to goes into `schemas`."""
    (schema,), components = msgspec.json.schema_components([of], ref_template="#/components/schemas/{name}")
    for name, component in components.items():
        schemas.setdefault(name, component)
    return schema


def _upload(field: str) -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {field: file}, "required": [field]}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


def _problems(handler: HTTPRouteHandler, method: str) -> dict[str, dict[str, Any]]:
    codes: dict[str, set[str]] = {}
    for refusal in refusals_of(handler):
        kind = kind_of(refusal, method)
        codes.setdefault(str(kind.status), set()).add(kind.code)
    return {
        status: {
            "description": " or ".join(sorted(found)),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, found in sorted(codes.items())
    }
