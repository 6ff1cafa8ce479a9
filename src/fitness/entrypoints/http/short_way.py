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

from fitness.domain.model.activities import Activity
from fitness.domain.model.listings import ActivityFilter, Listing, Page
from fitness.domain.model.rate_limits import Action, RateLimited
from fitness.domain.model.refusals import InvalidFields, NotAuthenticated, Refusal
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.caching.keys import activity_key, listing_key
from fitness.domain.use_cases.caching.reads import CachedReads, Copy
from fitness.domain.use_cases.limiting import Admitted, LimitService
from fitness.domain.use_cases.seen import ReadAsked
from fitness.entrypoints.http.arrived import Arrived
from fitness.entrypoints.http.cursors import ORDERS
from fitness.entrypoints.http.delivery import unless_known
from fitness.entrypoints.http.etags import content_tag, etag
from fitness.entrypoints.http.filters import ListingQuery, filter_of
from fitness.entrypoints.http.kinds import MalformedRequest
from fitness.entrypoints.http.queries import first_page, links, list_body, page_of, parsed_query
from fitness.entrypoints.http.rate_limits import limit_headers
from fitness.entrypoints.server.exchange import Answer, RawHeaders
from fitness.ports.cache import CacheKey, Miss
from fitness.ports.credentials import AccessTokenPort
from fitness.ports.outages import Outage

LISTING_PATH = "/api/v1/activities"
ACTIVITY_ROUTE = "/api/v1/activities/{activity_id}"
activity_id = re.compile(rb"/api/v1/activities/([1-9][0-9]{0,17})").fullmatch
"""Matches a target that is an activity's usual address; the id is the match's first group."""

MOST_REMEMBERED = 4_000
MOST_PAGES = 200
"""Pages that are kept as encoded answers, of at most some 50 KB each."""

MAX_TARGET_BYTES = 250
"""Longer targets are parsed anew each time."""


class Asked(NamedTuple):
    """What a target asks for: an activity, or a page of activities."""

    target: bytes
    path: str
    route: str
    activity_id: int
    which: tuple[ActivityFilter, Page] | None
    first: str = ""
    """The address of the list's first page."""


class _Marks(msgspec.Struct):
    """The fields of a cached activity that an answer needs; the rest of its text is not decoded."""

    user_id: int
    version: int


class _Page(NamedTuple):
    """A page of a list as it is answered."""

    text: bytes
    """The cached text that the page was made of; empty if it was not cached."""
    body: bytes
    tag: bytes
    links: bytes

    def answer(self, origin: bytes, headers: Mapping[bytes, bytes]) -> Answer:
        return _json(self.body, self.tag, [(b"link", self.links), (b"x-cache", origin)], headers)


_marks_of = msgspec.json.Decoder(_Marks).decode
_listing_of = msgspec.json.Decoder(Listing[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class Read(NamedTuple):
    """A request that the short way may answer."""

    asked: Asked
    arrived: Arrived
    caller: Caller
    action: Action
    key: CacheKey[Any]


class ShortWay:
    def __init__(
        self, tokens: AccessTokenPort, limits: LimitService, cached: CachedReads, activities: ActivityService
    ) -> None:
        self._tokens = tokens
        self._limits = limits
        self._cached = cached
        self._activities = activities
        self._asked: OrderedDict[bytes, Asked] = OrderedDict()
        self._keys: OrderedDict[tuple[int, bytes], CacheKey[Any]] = OrderedDict()
        self._pages: OrderedDict[tuple[int, bytes], _Page] = OrderedDict()

    def asked(self, target: bytes) -> Asked | None:
        """What a request's target asks for; None for a target that only the long way can answer."""
        known = self._asked.get(target)
        if known is not None:
            return known
        match = activity_id(target)
        if match is not None:
            asked = Asked(target, target.decode(), ACTIVITY_ROUTE, int(match[1]), None)
        else:
            path, _, query = target.partition(b"?")
            page = _page_asked(query) if path == LISTING_PATH.encode() else None
            if page is None:
                return None
            asked = Asked(target, LISTING_PATH, LISTING_PATH, 0, page, first_page(LISTING_PATH, query))
        if len(target) <= MAX_TARGET_BYTES:
            self._asked[target] = asked
            if len(self._asked) > MOST_REMEMBERED:
                self._asked.popitem(last=False)
        return asked

    def read(self, asked: Asked, arrived: Arrived) -> "Read | None":
        """The read, with its caller and its cache key; None if only the long way can answer it."""
        caller = bearer(self._tokens, arrived.headers)
        if caller is None or b"if-match" in arrived.headers:
            return None
        arrived.caller, arrived.route = caller, asked.route
        if asked.which is None:
            return Read(asked, arrived, caller, Action.OTHER, activity_key(asked.activity_id))
        return Read(asked, arrived, caller, Action.LIST, self._key(caller.id, asked, asked.which))

    def ask(self, read: "Read") -> ReadAsked | None:
        return self._limits.ask_read(read.action, read.caller, read.key)

    def hit(self, read: "Read", replies: ReadAsked) -> Answer | None:
        """The answer to an admitted hit; None for any other read, which is left to `answer`."""
        admitted = self._limits.admitted_hit(replies)
        if admitted is None:
            return None
        self._charged(read, admitted)
        try:
            return self._hit(read, admitted.found)
        except (msgspec.DecodeError, Refusal):
            return None

    async def answer(self, read: "Read", replies: ReadAsked | None) -> Answer | None:
        """None if the long way has to answer; it does not charge again what was charged here.

        Raises the Refusal or the Outage that is the answer to a charged request.
        """
        if read.arrived.charged:
            return None
        try:
            admitted = await self._admitted(read, replies)
        except (RateLimited, NotAuthenticated, Outage) as failure:
            read.arrived.failure = failure
            return None
        if admitted is None:
            return None
        self._charged(read, admitted)
        if not isinstance(admitted.found, bytes):
            return await self._miss(read, admitted.found)
        with suppress(msgspec.DecodeError, Refusal):
            return self._hit(read, admitted.found)
        return None

    def _key(self, user_id: int, asked: Asked, which: tuple[ActivityFilter, Page]) -> CacheKey[Any]:
        """The key of a page. It is remembered for each user, since making a key takes longer than finding it again."""
        name = (user_id, asked.target)
        key = self._keys.get(name)
        if key is None:
            key = listing_key(user_id, *which)
            if len(asked.target) <= MAX_TARGET_BYTES:
                self._keys[name] = key
                if len(self._keys) > MOST_REMEMBERED:
                    self._keys.popitem(last=False)
        return key

    async def _admitted(self, read: "Read", replies: ReadAsked | None) -> Admitted | None:
        if replies is None:
            return await self._limits.admit_read(read.action, read.caller, read.key)
        return await self._limits.admit_asked(replies, read.action, read.caller, read.key)

    def _charged(self, read: "Read", admitted: Admitted) -> None:
        arrived = read.arrived
        arrived.charged = True
        if admitted.decision is not None:
            arrived.answer_headers += limit_headers(admitted.decision)

    def _hit(self, read: "Read", found: Any) -> Answer | None:
        asked, headers = read.asked, read.arrived.headers
        if asked.which is None:
            answer = _activity(found, read.caller, headers)
        else:
            answer = self._page(found, read).answer(b"HIT", headers)
        if answer is not None:
            self._cached.count_hit(read.key)
        return answer

    def _page(self, text: bytes, read: "Read") -> "_Page":
        """The page of a cached `text`. It is made once for each text, since comparing texts costs next to nothing."""
        name = (read.caller.id, read.asked.target)
        page = self._pages.get(name)
        if page is None or page.text != text:
            page = self._pages[name] = _page_of(_listing_of(text), read.asked, text)
            if len(self._pages) > MOST_PAGES:
                self._pages.popitem(last=False)
        return page

    async def _miss(self, read: "Read", found: Miss | None) -> Answer:
        asked, by, headers = read.asked, read.caller, read.arrived.headers
        miss = found if found is not None else await self._cached.begin(read.key)
        if asked.which is not None:
            page = await self._activities.list(*asked.which, by=by, miss=miss)
            return _page_of(page.value, asked).answer(page.origin.encode(), headers)
        copy = await self._activities.get(asked.activity_id, by=by, miss=miss)
        return _activity_of(copy, headers)


def bearer(tokens: AccessTokenPort, headers: Mapping[bytes, bytes]) -> Caller | None:
    """The caller that a valid access token names, sent as `Authorization: Bearer …`; otherwise None."""
    credentials = headers.get(b"authorization", b"")
    if not credentials.startswith(b"Bearer "):
        return None
    try:
        return tokens.verify(credentials[7:].decode("latin-1").strip())
    except NotAuthenticated:
        return None


def _page_asked(query: bytes) -> tuple[ActivityFilter, Page] | None:
    """The filter and the page; None for a query that is refused."""
    try:
        parsed = parsed_query(query, ListingQuery)
        return filter_of(parsed), page_of(parsed, order=ORDERS[parsed.sort])
    except (MalformedRequest, InvalidFields):
        return None


def _activity(text: bytes, caller: Caller, headers: Mapping[bytes, bytes]) -> Answer | None:
    marks = _marks_of(text)
    return _versioned(text, marks.version, b"HIT", headers) if marks.user_id == caller.id else None


def _activity_of(copy: Copy[Activity], headers: Mapping[bytes, bytes]) -> Answer:
    return _versioned(_encode(copy.value), copy.value.version, copy.origin.encode(), headers)


def _versioned(text: bytes, version: int, origin: bytes, headers: Mapping[bytes, bytes]) -> Answer:
    return _json(text, etag(version).encode(), [(b"x-cache", origin)], headers)


def _page_of(listing: Listing[Any], asked: Asked, text: bytes = b"") -> _Page:
    assert asked.which is not None
    which, page = asked.which
    listed = list_body(listing, page, order=ORDERS[which.sort])
    body = _encode(listed)
    return _Page(text, body, content_tag(body), links(asked.first, listed.next_cursor).encode())


def _json(body: bytes, tag: bytes, said: RawHeaders, headers: Mapping[bytes, bytes]) -> Answer:
    described: RawHeaders = [(b"etag", tag), *said]
    described += (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))
    return unless_known(Answer(200, described, body), tag, headers)
