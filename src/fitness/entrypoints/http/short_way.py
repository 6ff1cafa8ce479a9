"""The short way: GET of an activity, or of a page of activities, answered before routing, a hit from the cache's bytes.

Most requests are these, and routing, dependencies and encoding cost ten times as much as the answer. The short way asks
the same services as the handlers, and answers byte for byte as they do. Whatever it does not know goes the long way.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from litestar.types import Scope

from fitness.domain.model.activities import Activity
from fitness.domain.model.listings import ActivityFilter, Listing, Page
from fitness.domain.model.rate_limits import Action, RateLimited
from fitness.domain.model.refusals import InvalidFields, NotAuthenticated, Refusal
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.caching.keys import activity_key, listing_key
from fitness.domain.use_cases.caching.reads import CachedReads, Copy
from fitness.domain.use_cases.limiting import LimitService
from fitness.entrypoints.http.charging import CHARGED
from fitness.entrypoints.http.cursors import ORDERS
from fitness.entrypoints.http.etags import etag, names_version
from fitness.entrypoints.http.filters import ListingQuery, filter_of
from fitness.entrypoints.http.problems import MalformedRequest
from fitness.entrypoints.http.queries import list_body, page_of, parsed_query
from fitness.entrypoints.http.rate_limits import limit_headers
from fitness.ports.cache import CacheKey
from fitness.ports.credentials import AccessTokenPort
from fitness.ports.outages import Outage

LISTING_PATH = "/api/v1/activities"
ACTIVITY_ROUTE = "/api/v1/activities/{activity_id}"
_activity_path = re.compile(r"/api/v1/activities/([1-9][0-9]{0,17})").fullmatch

MOST_QUERIES = 1_000
MAX_QUERY_BYTES = 200
"""Longer query strings are parsed anew each time."""

RawHeaders = list[tuple[bytes, bytes]]


class _Marks(msgspec.Struct):
    """What an answer needs to know of an activity; the rest of its text is not decoded."""

    user_id: int
    version: int


_marks_of = msgspec.json.Decoder(_Marks).decode
_listing_of = msgspec.json.Decoder(Listing[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    status: int
    headers: RawHeaders
    body: bytes


class ShortWay:
    def __init__(
        self, tokens: AccessTokenPort, limits: LimitService, cached: CachedReads, activities: ActivityService
    ) -> None:
        self._tokens = tokens
        self._limits = limits
        self._cached = cached
        self._activities = activities
        self._queries: OrderedDict[bytes, tuple[ActivityFilter, Page]] = OrderedDict()

    async def answer(self, scope: Scope, headers: Mapping[bytes, bytes], response_headers: RawHeaders) -> Answer | None:
        """The answer to a GET with these `headers`. None for the long way, which does not charge a second time what was
        charged here. The limits' headers go to `response_headers`. Raises an Outage of what is needed to answer.
        """
        path: str = scope["path"]
        query: bytes = scope["query_string"]
        match = _activity_path(path)
        which = self._query(query) if path == LISTING_PATH else None
        if which is None and (match is None or query):
            return None
        caller = self._caller(headers)
        if caller is None:
            return None
        key: CacheKey[Any]
        if which is not None:
            action, route, key = Action.LIST, LISTING_PATH, listing_key(caller.id, *which)
        else:
            assert match is not None
            activity_id = int(match[1])
            action, route, key = Action.OTHER, ACTIVITY_ROUTE, activity_key(activity_id)
        try:
            admitted = await self._limits.admit_read(action, caller, key)
        except (RateLimited, NotAuthenticated, Outage):
            return None  # a refusal is charged to nobody, and the long way finds it again
        if admitted is None:
            return None
        scope[CHARGED] = True  # type: ignore[literal-required]
        scope["user"], scope["path_template"] = caller, route
        if admitted.decision is not None:
            response_headers += limit_headers(admitted.decision)
        found = admitted.found
        with suppress(msgspec.DecodeError, Refusal):
            if isinstance(found, bytes):
                answer = _page(found, *which) if which is not None else _activity(found, caller, headers)
                if answer is not None:
                    self._cached.count_hit(key)
                return answer
            miss = found if found is not None else await self._cached.begin(key)
            if which is not None:
                return _page_of(await self._activities.list(*which, by=caller, miss=miss), *which)
            return _activity_of(await self._activities.get(activity_id, by=caller, miss=miss), headers)
        return None

    def _caller(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        credentials = headers.get(b"authorization", b"")
        if not credentials.startswith(b"Bearer "):
            return None
        try:
            return self._tokens.verify(credentials[7:].decode("latin-1").strip())
        except NotAuthenticated:
            return None

    def _query(self, text: bytes) -> tuple[ActivityFilter, Page] | None:
        known = self._queries.get(text)
        if known is not None:
            return known
        try:
            query = parsed_query(text, ListingQuery)
            parsed = filter_of(query), page_of(query, order=ORDERS[query.sort])
        except (MalformedRequest, InvalidFields):
            return None
        if len(text) <= MAX_QUERY_BYTES:
            self._queries[text] = parsed
            if len(self._queries) > MOST_QUERIES:
                self._queries.popitem(last=False)
        return parsed


def _activity(text: bytes, caller: Caller, headers: Mapping[bytes, bytes]) -> Answer | None:
    marks = _marks_of(text)
    return _versioned(text, marks.version, b"HIT", headers) if marks.user_id == caller.id else None


def _activity_of(copy: Copy[Activity], headers: Mapping[bytes, bytes]) -> Answer:
    return _versioned(_encode(copy.value), copy.value.version, copy.origin.encode(), headers)


def _versioned(text: bytes, version: int, origin: bytes, headers: Mapping[bytes, bytes]) -> Answer:
    described = [(b"etag", etag(version).encode()), (b"x-cache", origin)]
    if_none_match = headers.get(b"if-none-match")
    if if_none_match is not None and names_version(if_none_match.decode("latin-1"), version):
        return Answer(304, described, b"")
    return _json(text, described)


def _page(text: bytes, which: ActivityFilter, page: Page) -> Answer:
    return _list(_listing_of(text), which, page, b"HIT")


def _page_of(copy: Copy[Listing[Activity]], which: ActivityFilter, page: Page) -> Answer:
    return _list(copy.value, which, page, copy.origin.encode())


def _list(listing: Listing[Any], which: ActivityFilter, page: Page, origin: bytes) -> Answer:
    return _json(_encode(list_body(listing, page, order=ORDERS[which.sort])), [(b"x-cache", origin)])


def _json(body: bytes, described: RawHeaders) -> Answer:
    described += (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))
    return Answer(200, described, body)
