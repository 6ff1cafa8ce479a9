"""The headers of answers: what each means, and which stand in what kind of answer, for the API's document."""

from collections.abc import Iterator, Mapping
from typing import Any

from fitness.entrypoints.http.problems import KINDS_WITH_RETRY
from fitness.entrypoints.http.routes import Route

_TEXT = {"type": "string"}
_SECONDS = {"type": "integer", "minimum": 0}
_COUNT = {"type": "integer", "minimum": 0}

HEADERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "Accept-Ranges": ("That a Range may be asked for.", {"const": "bytes"}),
    "Cache-Control": ("Whether and how the answer may be kept.", _TEXT),
    "Content-Disposition": ("`attachment`, with a name to save the file under (RFC 6266).", _TEXT),
    "Content-Encoding": (
        "`gzip`, where the client takes that and the body is 1 400 bytes or longer.",
        {"const": "gzip"},
    ),
    "Content-Range": ("Which bytes these are, and of how many.", _TEXT),
    "ETag": ("The version, or a hash of the content; for If-None-Match and If-Match.", _TEXT),
    "Idempotent-Replayed": (
        "`true` where this is the answer to an earlier request with the same key.",
        {"const": "true"},
    ),
    "Link": ("The `next` page of a list, and the `first` (RFC 8288).", _TEXT),
    "Location": ("Where the new object is.", {"type": "string", "format": "uri-reference"}),
    "RateLimit": ("What is left under each policy: `r` requests, and more in `t` seconds.", _TEXT),
    "RateLimit-Policy": ("Each policy that applies: `q` requests in `w` seconds.", _TEXT),
    "Retry-After": ("Seconds after which the request may be repeated.", _SECONDS),
    "Set-Cookie": ("The `device_token`, for browsers on the service's own site.", _TEXT),
    "Vary": ("The request headers on which the answer depends.", _TEXT),
    "WWW-Authenticate": ("How to authenticate.", _TEXT),
    "X-Accel-Buffering": ("`no`: a proxy is to pass on each piece at once.", {"const": "no"}),
    "X-Cache": ("Where the answer came from.", {"enum": ["HIT", "MISS", "BYPASS"]}),
    "X-Content-Type-Options": ("Always `nosniff`.", {"const": "nosniff"}),
    "X-RateLimit-Limit": ("Requests under the tightest policy.", _COUNT),
    "X-RateLimit-Remaining": ("How many of them are left.", _COUNT),
    "X-RateLimit-Reset": ("Seconds until all of them are.", _SECONDS),
    "X-Request-ID": ("The request's own, or a new one; the service's log has it too.", _TEXT),
}

_ALWAYS = ("X-Request-ID", "Cache-Control", "Vary", "X-Content-Type-Options")
_LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit")


def of_success(method: str, route: Route, *, has_body: bool) -> Iterator[str]:
    yield from _ALWAYS
    if route.limited:
        yield from _LIMITS
    if has_body:
        yield "Content-Encoding"
    if method == "GET" and has_body and not route.unstored:
        yield "ETag"
    yield from route.sends


def of_problem(status: int, codes: set[str], route: Route) -> Iterator[str]:
    yield from _ALWAYS
    if route.of_api:
        yield from _LIMITS
    if status == 401 or "insufficient_scope" in codes:
        yield "WWW-Authenticate"
    if status == 416:
        yield "Content-Range"
    if status in (429, 503) or codes & KINDS_WITH_RETRY:
        yield "Retry-After"
    yield "Content-Encoding"
