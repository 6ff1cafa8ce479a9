"""The OpenAPI document, written from what routes and fields declare."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from http import HTTPStatus
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from litestar import Litestar, Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from msgspec import UNSET

from fitness import __version__
from fitness.domain.model.fields import Id, Says
from fitness.entrypoints.http.document_links import links_of
from fitness.entrypoints.http.etags import IF_NONE_MATCH
from fitness.entrypoints.http.examples import BODIES, PATH_EXAMPLES
from fitness.entrypoints.http.kinds import CRASH, Kind
from fitness.entrypoints.http.problems import MEDIA_TYPE, Problem, kind_of
from fitness.entrypoints.http.response_headers import HEADERS, of_problem, of_success
from fitness.entrypoints.http.routes import Access, Route, declared, operations, refusals_of
from fitness.entrypoints.http.schemas import Schema, Schemas
from fitness.entrypoints.http.uploads import MAX_PARTS

JSON = "application/json"

DESCRIPTION = """
Record, list, correct, delete and undo training activities.

**To try it here**: execute *Register*, then *Login*, and put the `access_token` of its answer behind **Authorize**. It
is good for 15 minutes.

Times are RFC 3339 with an offset. Errors are `application/problem+json` (RFC 9457) with a stable `code`. Unknown fields
and parameters are refused. A request may have an `X-Request-ID`, which its answer and the service's log then have too.

**Changes as they happen**: open a WebSocket on `/api/v1/live` and send `{"token": "…", "cursor": "…"}`, or open it with
`?ticket=…&cursor=…` and a ticket of *Issue ticket*. It answers `{"type": "following", "cursor": "…"}`, and then each
change as `{"type": "change", "change": {…}}`, with an item of *List changes*: what is behind the cursor first, or
without one what changes from now on. Close codes: 1012 the service restarts, 1013 try later, 4400 bad message or
cursor, 4401 not authenticated (any more), 4403 scope, 4408 too slow, 4410 changes not kept, 4429 too many.
"""

TAGS = {
    "accounts": "Registering, logging in, one's own profile and limits.",
    "activities": "Recording, importing, listing, correcting, deleting and undoing.",
    "statistics": "What activities add up to.",
    "tags": "What activities are tagged with.",
    "photos": "Pictures of activities.",
    "administration": "For admins.",
    "health": "For load balancers and operators.",
}

_SECURITY: Mapping[Access, list[dict[str, list[str]]]] = {
    Access.PUBLIC: [],
    Access.ACCOUNT_OPTIONAL: [{"bearer": []}, {}],
}
"""For other routes, the document's own `security` holds: an access token is needed."""

_NOT_FOUND = NotFoundException

_IN_PATHS: Mapping[Any, Any] = {int: Id, Path: str}
"""The types by which path parameters are described, in place of those that the router gives them."""


def api_document(app: Litestar) -> dict[str, Any]:
    schemas = Schemas(omitting=(Problem,))
    schemas.of(Problem)
    described = [one for one in operations(app) if one[2].resolve_include_in_schema()]
    paths: dict[str, dict[str, Any]] = {}
    for method, path, handler in described:
        if method != "OPTIONS":
            paths.setdefault(path, {})[method.lower()] = _operation(method, path, handler, schemas, described)
    used = {tag for path in paths.values() for operation in path.values() for tag in operation["tags"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fitness",
            "version": __version__,
            "summary": "An HTTP service that keeps people's training activities.",
            "description": DESCRIPTION.strip(),
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": TAGS.get(name, "")} for name in sorted(used)],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": dict(sorted(schemas.responses.items())),
            "headers": {name: _header(name) for name in HEADERS},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token` of a login.",
                }
            },
        },
    }


def _operation(
    method: str, path: str, handler: HTTPRouteHandler, schemas: Schemas, all_: list[tuple[str, str, HTTPRouteHandler]]
) -> dict[str, Any]:
    name, route = handler.handler_name, declared(handler)
    parameters = [*_path_parameters(path, handler, schemas), *_query_parameters(route, schemas)]
    responses = _responses(method, path, handler, schemas, all_)
    headers = {**(IF_NONE_MATCH if "304" in responses else {}), **route.headers}
    parameters += [_header_parameter(header, meaning) for header, meaning in headers.items()]
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": name.replace("_", " ").capitalize(),
        "description": " ".join((handler.fn.__doc__ or "").split()),
        "tags": sorted({tag for layer in handler.ownership_layers for tag in (getattr(layer, "tags", None) or ())}),
        "parameters": parameters,
        "responses": responses,
    }
    body = _body(handler, schemas)
    if body is not None:
        operation["requestBody"] = body
    if route.access in _SECURITY:
        operation["security"] = _SECURITY[route.access]
    return operation


def _path_parameters(path: str, handler: HTTPRouteHandler, schemas: Schemas) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        of = handler.parsed_fn_signature.parameters[name].annotation
        schema = schemas.of(_IN_PATHS.get(of, of))
        yield {"name": name, "in": "path", "required": True, "schema": schema, "example": PATH_EXAMPLES[name]}


def _query_parameters(route: Route, schemas: Schemas) -> Iterator[dict[str, Any]]:
    if route.query is None:
        return
    hints = get_type_hints(route.query, include_extras=True)
    for field in fields(route.query):
        stated = [hint for hint in get_args(hints[field.name]) if hint is not NoneType]
        schema = schemas.of(stated[0] if field.default is None else hints[field.name], sent=True)
        parameter: dict[str, Any] = {"name": field.name.rstrip("_"), "in": "query"}
        parameter["description"] = schema.pop("description", "")
        if schema.keys() == {"allOf"}:  # which was there only to hold the description
            [schema] = schema["allOf"]
        if field.default is MISSING:
            parameter["required"] = True
            parameter["example"] = schema["examples"][0]  # without it /docs has nothing to execute
        elif field.default not in (None, ()):
            schema["default"] = field.default
        yield parameter | {"schema": schema}


def _header_parameter(name: str, meaning: str | Says) -> dict[str, Any]:
    says = meaning if isinstance(meaning, Says) else Says(meaning)
    schema = {"type": "string"} | ({"pattern": says.pattern} if says.pattern else {})
    return {"name": name, "in": "header", "description": says.words, "schema": schema}


def _body(handler: HTTPRouteHandler, schemas: Schemas) -> dict[str, Any] | None:
    upload = declared(handler).upload
    if upload:
        file: Schema = {"type": "string", "format": "binary"}
        if declared(handler).several:
            file = {"type": "array", "minItems": 1, "maxItems": MAX_PARTS, "items": file}
        others = {name: schemas.of(hint) for name, hint in declared(handler).texts.items()}
        form = {"type": "object", "properties": {upload: file, **others}, "required": [upload]}
        return {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    data = handler.parsed_fn_signature.parameters.get("data")
    if data is None:
        return None
    stated = [one for one in get_args(data.annotation) if one is not NoneType]
    model: type[Any] = stated[0] if stated else data.annotation
    schema = schemas.of(model, sent=True)
    _state_defaults(schemas.components[model.__name__], model)
    content: dict[str, Any] = {"schema": schema}
    if model.__name__ in BODIES:
        content["example"] = BODIES[model.__name__]
    return {"required": not stated, "content": {JSON: content}}  # a body that may be None may be left out


def _state_defaults(schema: Schema, model: type[Any]) -> None:
    """State the defaults of fields in words, since some generators require a field that has a `default`."""
    for field in fields(model) if hasattr(model, "__dataclass_fields__") else ():
        if field.default not in (MISSING, None, UNSET, ()):
            stated = schema["properties"][field.name]
            stated["description"] = f"{stated.get('description', '')} If left out: `{field.default}`.".strip()


def _responses(
    method: str, path: str, handler: HTTPRouteHandler, schemas: Schemas, all_: list[tuple[str, str, HTTPRouteHandler]]
) -> dict[str, Any]:
    route = declared(handler)
    answered = _answered(handler)
    success: dict[str, Any] = {"description": _phrase(handler.status_code)}
    if answered is not None:
        success["content"] = _content(answered, route, schemas)
    links = links_of(answered, all_)
    if links:
        success["links"] = links
    success["headers"] = _references(of_success(method, route, has_body=answered is not None))
    responses = {str(handler.status_code): success}
    if "ETag" in success["headers"] and method == "GET":
        unchanged = {name: ref for name, ref in success["headers"].items() if name != "Content-Encoding"}
        responses["304"] = {"description": "The client's copy is current.", "headers": unchanged}
    for status, also in route.also.items():
        headers = _references(of_success(method, route, has_body=True))
        content = _content(also, route, schemas)
        responses[str(status)] = {"description": _phrase(status), "content": content, "headers": headers}
    return responses | _problems(method, path, handler, schemas.responses)


def _answered(handler: HTTPRouteHandler) -> Any:
    """The type of the successful answer's body; None without one."""
    of = handler.parsed_fn_signature.return_type.annotation
    if isinstance(get_origin(of), type) and issubclass(get_origin(of), Response):
        [of] = get_args(of)
    return None if of in (None, NoneType) else of


def _content(answered: Any, route: Route, schemas: Schemas) -> dict[str, Any]:
    if answered is bytes:
        return {
            media_type: {"schema": schemas.of(bytes)} for media_type in route.files or ("application/octet-stream",)
        }
    return {JSON: {"schema": schemas.of(answered)}}


def _problems(method: str, path: str, handler: HTTPRouteHandler, shared: dict[str, Any]) -> dict[str, Any]:
    """The problems by status. Each is described once, in `shared`: /docs is slower with each that it has to read."""
    refusals = refusals_of(handler) | ({_NOT_FOUND} if "{" in path else set())
    kinds = {CRASH, *(kind_of(one, method) for one in refusals)}
    route = declared(handler)
    found: dict[str, Any] = {}
    for status in sorted({kind.status for kind in kinds} - {*route.also}):
        of = sorted((kind for kind in kinds if kind.status == status), key=lambda kind: kind.code)
        name = ".".join([str(status), *(kind.code for kind in of), *([] if route.of_api else ["unlimited"])])
        shared[name] = _problem(status, of, route)
        found[str(status)] = {"$ref": f"#/components/responses/{name}", "description": shared[name]["description"]}
    return found


def _problem(status: int, kinds: list[Kind], route: Route) -> dict[str, Any]:
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {k.code: _example(k) for k in kinds}}
    return {
        "description": " or ".join(kind.code for kind in kinds),
        "content": {MEDIA_TYPE: content},
        "headers": _references(of_problem(status, {kind.code for kind in kinds}, route)),
    }


def _example(kind: Kind) -> dict[str, Any]:
    problem = {"type": f"urn:fitness:problem:{kind.code}", "title": kind.title, "status": kind.status}
    return {"value": problem | {"detail": f"{kind.title}.", "code": kind.code}}


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _header(name: str) -> dict[str, Any]:
    meaning, schema = HEADERS[name]
    return {"description": meaning, "schema": schema}


def _references(names: Iterator[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in sorted({*names})}
