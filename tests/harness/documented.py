"""Compares the service with its document: each answer is validated against the document's description of it."""

import re
from collections.abc import Awaitable, Callable, Iterator
from functools import cache, lru_cache
from typing import Any

import httpx
import jsonschema
import msgspec
from litestar import Litestar

from fitness.entrypoints.http.document import api_document

OF_TRANSPORT = {"content-type", "content-length", "date", "connection"}
OF_BROWSERS = "access-control-"
MOST_ITEMS = 3
"""Items of a list that are validated; the others are made by the same code."""


class Undocumented(AssertionError):
    """The service's answer differs from its document."""


_documents: list[dict[str, Any]] = []


def judge(app: Litestar) -> Callable[[httpx.Response], Awaitable[None]]:
    """The function that has to be called with each answer. All applications have the same document."""
    if not _documents:
        _documents.append(msgspec.json.decode(msgspec.json.encode(api_document(app))))
    return hold_to_document


def document() -> dict[str, Any]:
    """The document as the service publishes it, read back from JSON."""
    return _documents[0]


def resolved(response: Any, whole: dict[str, Any]) -> Any:
    """A response of an operation, or the shared response that it refers to."""
    if response is None or "$ref" not in response:
        return response
    return whole["components"]["responses"][response["$ref"].rpartition("/")[2]]


async def hold_to_document(response: httpx.Response) -> None:
    """Validate an answer; one to an address that is not in the document is ignored. Raises Undocumented."""
    request = response.request
    found = _operation("GET" if request.method == "HEAD" else request.method, request.url.path)
    if found is None or request.method == "OPTIONS":
        return
    name, operation = found
    where = f"{name} {response.status_code}"
    stated = resolved(operation["responses"].get(str(response.status_code)), document())
    if stated is None:
        raise Undocumented(f"{where} is in no response of the document: {await _text(response)}")
    surplus = _surplus_headers(response, stated)
    if surplus:
        raise Undocumented(f"{where} has headers that the document lacks: {surplus}")
    for header, value in response.headers.items():
        if error := _error_in_header(header, value):
            raise Undocumented(f"{where}: the header {header} {error}")
    if request.method != "HEAD":
        await _judge_body(where, response, stated)


def _surplus_headers(response: httpx.Response, stated: dict[str, Any]) -> set[str]:
    named = {header.lower() for header in stated.get("headers", {})}
    sent = {header for header in response.headers if not header.startswith(OF_BROWSERS)}
    return sent - named - OF_TRANSPORT


@lru_cache(1_000)
def _error_in_header(header: str, value: str) -> str | None:
    schema = _headers().get(header)
    if schema is None:
        return None
    stated: Any = int(value) if schema.get("type") == "integer" and value.isdecimal() else value
    error = jsonschema.exceptions.best_match(_validator_of(msgspec.json.encode(schema)).iter_errors(stated))
    return None if error is None else error.message


async def _judge_body(where: str, response: httpx.Response, stated: dict[str, Any]) -> None:
    body = await response.aread()
    content = stated.get("content")
    if content is None:
        if body:
            raise Undocumented(f"{where} has a body, the document says that it has none: {body[:200]!r}")
        return
    media_type = response.headers["content-type"].partition(";")[0]
    if media_type not in content:
        raise Undocumented(f"{where} is {media_type}, the document says {', '.join(content)}")
    if not media_type.endswith("json"):
        return
    if error := _error_in_json(where, media_type, body):
        raise Undocumented(f"{where} {error}")


@lru_cache(200)
def _error_in_json(where: str, media_type: str, body: bytes) -> str | None:
    """What is wrong with a body; `where` is its operation and status. Cached, since many tests get the same."""
    name, _, status = where.rpartition(" ")
    method, _, template = name.partition(" ")
    stated = resolved(document()["paths"][template][method.lower()]["responses"][status], document())
    content = stated["content"][media_type]
    found = msgspec.json.decode(body)
    if media_type == "application/problem+json" and found["code"] not in content["examples"]:
        return f"has the code {found['code']}, the document says {stated['description']}"
    if isinstance(found, dict) and isinstance(found.get("items"), list):
        found = found | {"items": found["items"][:MOST_ITEMS]}
    error = jsonschema.exceptions.best_match(_validator_of(msgspec.json.encode(content["schema"])).iter_errors(found))
    return None if error is None else f"{'.'.join(map(str, error.path)) or 'the body'}: {error.message}"


async def _text(response: httpx.Response) -> str:
    return (await response.aread()).decode("utf-8", "replace")[:300]


@cache
def _validator_of(schema: bytes) -> jsonschema.Draft202012Validator:
    """A validator of the schema with every object closed, so that a property that the document lacks is an error."""
    components = {name: _closed(one) for name, one in document()["components"]["schemas"].items()}
    whole = msgspec.json.decode(schema) | {"components": {"schemas": components}}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker(["date"]))


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"additionalProperties": False} if "properties" in schema else schema


@cache
def _headers() -> dict[str, dict[str, Any]]:
    return {name.lower(): one["schema"] for name, one in document()["components"]["headers"].items()}


@cache
def _operation(method: str, path: str) -> tuple[str, dict[str, Any]] | None:
    """The first operation whose path matches; paths without parameters come before those with parameters."""
    return next(_operations(method, path), None)


def _operations(method: str, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for template, of_path in sorted(document()["paths"].items(), key=lambda one: "{" in one[0]):
        if method.lower() in of_path and _pattern(template).fullmatch(path):
            yield f"{method} {template}", of_path[method.lower()]


@cache
def _pattern(template: str) -> re.Pattern[str]:
    named = template.replace("{name}", ".+")
    return re.compile(re.sub(r"{\w+}", r"[0-9A-Za-z_-]+", named))
