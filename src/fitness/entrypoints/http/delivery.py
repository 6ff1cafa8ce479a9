"""How an answer goes to its client: as a 304 if the client has it, otherwise compressed if the client takes gzip."""

import asyncio
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from litestar import Request

from fitness.entrypoints.http.arrived import ARRIVED, Arrived
from fitness.entrypoints.http.etags import GZIP_MARK, content_tag, named_tag
from fitness.entrypoints.server.exchange import Answer, RawHeaders

MIN_COMPRESSED_BYTES = 1_400
"""A shorter body is not compressed, since it fits into one packet as it is."""

MAX_ON_LOOP_BYTES = 256 * 1024
"""A longer body is compressed in a thread: this much takes a millisecond. The cache keeps no longer ones."""

LEVEL = 3
"""100 activities, 49 KB: 3.2 KB in 0.18 ms. Level 6 makes it 2.8 KB in 0.39 ms."""

_COMPRESSIBLE = (b"application/json", b"application/problem+json", b"text/")
_ABOUT_CONTENT = {b"content-type", b"content-length"}


def tagged(answer: Answer) -> Answer:
    """Gives successful JSON an ETag, unless it has one or may not be stored."""
    named = dict(answer.headers)
    if answer.status != 200 or b"etag" in named or named.get(b"cache-control") == b"no-store":
        return answer
    if not named.get(b"content-type", b"").startswith(b"application/json"):
        return answer
    return answer._replace(headers=[(b"etag", content_tag(answer.body)), *answer.headers])


def unless_known(answer: Answer, tag: bytes, asked_with: Mapping[bytes, bytes]) -> Answer:
    """The answer, whose ETag is `tag`, or a 304 without its body if If-None-Match names that tag (RFC 9110, 13.1.2).

    The 304 has the ETag that the answer would have, compressed or not. If the client has only the other form, the 304
    has the ETag of that form, under which caches find their copy.
    """
    if_none_match = asked_with.get(b"if-none-match")
    if if_none_match is None:
        return answer
    named = named_tag(if_none_match, gzip_tag(tag) if _is_to_be_compressed(answer, asked_with) else tag)
    if named is None:
        return answer
    kept = [one for one in answer.headers if one[0] not in _ABOUT_CONTENT]
    return Answer(304, [(name, named if name == b"etag" else value) for name, value in kept], b"")


def is_known(request: Request[Any, Any, Any], tag: str) -> bool:
    """Whether `unless_known` will answer 304, so that the body of a 200 with this ETag is not needed."""
    arrived: Arrived = request.scope[ARRIVED]  # type: ignore[literal-required]
    return named_tag(arrived.headers.get(b"if-none-match", b""), tag.encode()) is not None


async def delivered(answer: Answer, arrived: Arrived) -> Answer:
    """The answer as it goes to the client, whatever its status; an answer to HEAD has no body."""
    if arrived.method in ("GET", "HEAD"):
        answer = tagged(answer)
        tag = next((value for name, value in answer.headers if name == b"etag"), None)
        if answer.status == 200 and tag is not None:
            answer = unless_known(answer, tag, arrived.headers)
    answer = compressed(await compressed_apart(answer, arrived.headers), arrived.headers)
    return answer._replace(body=b"") if arrived.method == "HEAD" else answer


def compressed(answer: Answer, asked_with: Mapping[bytes, bytes]) -> Answer:
    """The answer by gzip, if the client takes that and it is worth it. A compressed answer has an ETag of its own."""
    if not _is_to_be_compressed(answer, asked_with):
        return answer
    small = gzipped(answer.body)
    return Answer(answer.status, about_gzipped(answer.headers, small), small)


async def compressed_apart(answer: Answer, asked_with: Mapping[bytes, bytes]) -> Answer:
    """As `compressed`, in a thread, for a long answer, so that other requests need not wait; any other as it is."""
    if len(answer.body) <= MAX_ON_LOOP_BYTES or not _is_to_be_compressed(answer, asked_with):
        return answer
    return await asyncio.to_thread(compressed, answer, asked_with)


def _is_to_be_compressed(answer: Answer, asked_with: Mapping[bytes, bytes]) -> bool:
    if len(answer.body) < MIN_COMPRESSED_BYTES or not takes_gzip(asked_with.get(b"accept-encoding", b"")[:200]):
        return False
    named = dict(answer.headers)
    return b"content-encoding" not in named and named.get(b"content-type", b"").startswith(_COMPRESSIBLE)


def gzipped(body: bytes, level: int = LEVEL) -> bytes:
    return zlib.compress(body, level, zlib.MAX_WBITS | 16)


def gzip_tag(tag: bytes) -> bytes:
    """The ETag of the compressed form of the answer that has `tag`."""
    return tag[:-1] + GZIP_MARK + b'"'


def about_gzipped(headers: RawHeaders, small: bytes) -> RawHeaders:
    """The headers of an answer whose body is now `small`."""
    changed = {b"content-length": lambda _: b"%d" % len(small), b"etag": gzip_tag}
    kept = [(name, changed[name](value) if name in changed else value) for name, value in headers]
    return [*kept, (b"content-encoding", b"gzip")]


def takes_gzip(accept_encoding: bytes) -> bool:
    return takes(accept_encoding, b"gzip", b"x-gzip")


@lru_cache(maxsize=256)
def takes(accept: bytes, *wanted: bytes) -> bool:
    """Whether an Accept or an Accept-Encoding header names one of `wanted`, with a weight above 0."""
    for one in accept.lower().split(b","):
        name, _, weight = one.partition(b";")
        if name.strip() in wanted:
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
