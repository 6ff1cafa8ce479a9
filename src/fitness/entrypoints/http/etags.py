"""Conditional requests (RFC 9110, 13.1): an activity's version is its ETag; other answers are tagged by content."""

import hashlib
import re
from collections.abc import Callable
from typing import Any, TypeVar

from litestar import Request

from fitness.domain.model.fields import Says
from fitness.domain.model.versions import ANY_VERSION, Versions
from fitness.entrypoints.http.arrived import ARRIVED, Arrived
from fitness.entrypoints.http.kinds import MalformedRequest

GZIP_MARK = b"-gzip"
"""Ends the ETag of a compressed answer: the same version, in other bytes."""

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rf"[ \t,]*(?:\*|{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*)[ \t,]*").fullmatch
"""Empty elements of the list are allowed (RFC 9110, 5.6.1)."""
_PATTERN = r'^(?:\*|(?:W/)?"[!#-~]*"(?:, (?:W/)?"[!#-~]*")*)$'

IF_MATCH = {
    "If-Match": Says(
        "The ETag of the version that is meant, in its quotation marks, or several; "
        "if none of them is the current one, nothing is done and the answer is 412.",
        pattern=_PATTERN,
    )
}
IF_NONE_MATCH = {
    "If-None-Match": Says("The ETag of the client's copy; the answer is 304 while that is the current one.")
}
IF_NONE_MATCH_TO_CHANGE = {
    "If-None-Match": Says(
        "ETags of versions that are not meant; if one of them is the current one, or for `*`, nothing is done and the "
        "answer is 412.",
        pattern=_PATTERN,
    )
}

_NAMED = re.compile(r'(W/)?"([^"]*)"')
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_OPAQUE = re.compile(rb'"[^"]*"')

T = TypeVar("T")

Condition = Callable[[str], bool]
"""Whether a header's condition holds for an ETag."""


def etag(version: int) -> str:
    return f'"{version}"'


def content_tag(body: bytes) -> bytes:
    """The ETag of an answer that has no version: equal bytes have equal tags."""
    return b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()


def versions_to_change(request: Request[Any, Any, Any]) -> Versions:
    """The versions that If-Match and If-None-Match allow to be changed. Raises MalformedRequest.

    An ETag that cannot be one of an activity's versions matches no version.
    """
    among = _named(request, "If-Match", weak=False)
    but = _named(request, "If-None-Match", weak=True)
    if among is None and but is None:
        return ANY_VERSION
    if but == "*":  # any version, and there is one: the condition is never met
        return Versions(among=frozenset())
    return Versions(among=_versions(among), but=_versions(but) or frozenset())


def versions_to_read(request: Request[Any, Any, Any]) -> Versions:
    """The versions that If-Match allows to be read. Raises MalformedRequest."""
    return Versions(among=_versions(_named(request, "If-Match", weak=False)))


def tags_to_change(request: Request[Any, Any, Any], tag_of: Callable[[T], str]) -> Callable[[T], bool] | None:
    """As `versions_to_change`, for an object that `tag_of` tags by its content. None if neither header is sent."""
    among = _named(request, "If-Match", weak=False)
    but = _named(request, "If-None-Match", weak=True)
    if among is None and but is None:
        return None
    return lambda one: _names(among, tag_of(one), default=True) and not _names(but, tag_of(one), default=False)


def tags_to_read(request: Request[Any, Any, Any]) -> Condition:
    """Which ETags If-Match allows to be read. Raises MalformedRequest."""
    among = _named(request, "If-Match", weak=False)
    return lambda tag: _names(among, tag, default=True)


def named_tag(if_none_match: bytes, tag: bytes) -> bytes | None:
    """The ETag that an If-None-Match names, by the weak comparison: `tag`, also for `*`, or else the ETag of the same
    content in the other form, compressed or not. None if it names neither.
    """
    if if_none_match == tag or if_none_match.strip() == b"*":
        return tag
    opaque = tag.removeprefix(b"W/")
    named = _OPAQUE.findall(if_none_match)
    if opaque in named:
        return tag
    plain = opaque.replace(GZIP_MARK + b'"', b'"')
    return next((one for one in named if one.replace(GZIP_MARK + b'"', b'"') == plain), None)


def _versions(named: frozenset[str] | str | None) -> frozenset[int] | None:
    """The versions among the named ETags; None for `*`, and without the header."""
    if not isinstance(named, frozenset):
        return None
    return frozenset(int(one) for one in named if _VERSION.fullmatch(one))


def _names(named: frozenset[str] | str | None, tag: str, *, default: bool) -> bool:
    if named is None:
        return default
    return named == "*" or tag.strip('"') in named


def _named(request: Request[Any, Any, Any], header: str, *, weak: bool) -> frozenset[str] | str | None:
    """The header's ETags without quotation marks, those marked W/ only if `weak`; or `*`; None without the header."""
    arrived: Arrived = request.scope[ARRIVED]  # type: ignore[literal-required]
    value = arrived.headers.get(header.lower().encode())
    if value is None:
        return None
    text = value.decode("latin-1")
    if not _LIST(text):
        raise MalformedRequest(f'{header} takes ETags in their quotation marks, such as {header}: "3"')
    if text.strip(" \t,") == "*":
        return "*"
    found = _NAMED.finditer(text)
    return frozenset(match[2].removesuffix(GZIP_MARK.decode()) for match in found if weak or not match[1])
