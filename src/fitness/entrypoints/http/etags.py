"""Conditional requests: an object's version is its ETag (RFC 9110, 8.8.3 and 13.1)."""

import re
from itertools import islice
from typing import Any

from litestar import Request
from litestar.openapi import ResponseSpec

MAX_ETAGS = 20
"""The rest of a longer header is not read."""

IF_MATCH = {"If-Match": "Make the change only if this is the current ETag; otherwise the answer is 412."}
IF_NONE_MATCH = {"If-None-Match": "The ETag of the client's copy; the answer is 304 while it is current."}

NOT_MODIFIED = ResponseSpec(None, description="The client's copy is current.")

_ETAG = re.compile(r'(W/)?"([0-9]{1,18})"')


def etag(version: int) -> str:
    return f'"{version}"'


def versions_to_change(request: Request[Any, Any, Any]) -> set[int] | None:
    """The versions that If-Match names. None, any version, without the header and for `*`.

    Empty where the header names no version of ours: then no version matches.
    """
    header = request.headers.get("if-match")
    if header is None or _is_any(header):
        return None
    return _versions(header, weak=False)


def has_copy(request: Request[Any, Any, Any], version: int) -> bool:
    """Whether the client has this version."""
    return names_version(request.headers.get("if-none-match", ""), version)


def names_version(if_none_match: str, version: int) -> bool:
    """Whether the header names `version`, or any version by `*`."""
    return bool(if_none_match) and (_is_any(if_none_match) or version in _versions(if_none_match, weak=True))


def _is_any(header: str) -> bool:
    return header.strip() == "*"


def _versions(header: str, *, weak: bool) -> set[int]:
    """The versions in a list of ETags, without those marked W/ unless `weak`."""
    found = islice(_ETAG.finditer(header), MAX_ETAGS)
    return {int(match[2]) for match in found if weak or not match[1]}
