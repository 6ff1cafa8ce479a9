"""Conditional requests (RFC 9110, 13.1): an activity's version is its ETag; other answers are tagged by content."""

import re
from itertools import islice
from typing import Any

from litestar import Request

from fitness.domain.model.versions import ANY_VERSION, Versions
from fitness.entrypoints.http.problems import MalformedRequest

MAX_ETAGS = 20
"""The rest of a longer header is not read."""

GZIP_MARK = b"-gzip"
"""Ends the ETag of a compressed answer: the same version, in other bytes."""

IF_MATCH = {
    "If-Match": "The ETag of the version that is meant, in its quotation marks, or several; "
    "if none of them is the current one, nothing is done and the answer is 412."
}
IF_NONE_MATCH = {"If-None-Match": "The ETag of the client's copy; the answer is 304 while that is the current one."}

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rf"\s*(?:\*|{_TAG}(?:\s*,\s*{_TAG})*)[\s,]*").fullmatch
_VERSION = re.compile(r'(W/)?"([0-9]{1,18})(?:-gzip)?"')
_OPAQUE = re.compile(rb'"[^"]*"')


def etag(version: int) -> str:
    return f'"{version}"'


def versions_to_change(request: Request[Any, Any, Any]) -> Versions:
    """Which versions the change may be made of, as If-Match and If-None-Match say. Raises MalformedRequest.

    A header that names no version of ours names none that there is.
    """
    among = _named(request, "If-Match", weak=False)
    but = _named(request, "If-None-Match", weak=True)
    if among is None and but is None:
        return ANY_VERSION
    if but == "*":  # there is one: the condition is never met
        return Versions(among=frozenset())
    wanted = None if among is None or isinstance(among, str) else among
    return Versions(among=wanted, but=but if isinstance(but, frozenset) else frozenset())


def versions_to_read(request: Request[Any, Any, Any]) -> Versions:
    """Which versions If-Match lets be read. Raises MalformedRequest."""
    among = _named(request, "If-Match", weak=False)
    return ANY_VERSION if among is None or isinstance(among, str) else Versions(among=among)


def names_tag(if_none_match: bytes, tag: bytes) -> bool:
    """Whether an If-None-Match names this ETag, compressed or not, or any one by `*`: the weak comparison."""
    if if_none_match == tag:
        return True
    if if_none_match.strip() == b"*":
        return True
    plain = tag.removeprefix(b"W/").replace(GZIP_MARK + b'"', b'"')
    named = islice(_OPAQUE.finditer(if_none_match), MAX_ETAGS)
    return any(match[0].replace(GZIP_MARK + b'"', b'"') == plain for match in named)


def _named(request: Request[Any, Any, Any], header: str, *, weak: bool) -> frozenset[int] | str | None:
    """The versions in a header, without those marked W/ unless `weak`; `*`; None without the header."""
    text = request.headers.get(header)
    if text is None:
        return None
    if not _LIST(text):
        raise MalformedRequest(f'{header} takes ETags in their quotation marks, such as {header}: "3"')
    if text.strip() == "*":
        return "*"
    found = islice(_VERSION.finditer(text), MAX_ETAGS)
    return frozenset(int(match[2]) for match in found if weak or not match[1])
