"""/live over plain HTTP: tickets for its WebSocket, and the same feed as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from msgspec import Meta

from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import ChangesNotKept, NotAuthenticated, TooManyFollowers
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.live import FeedStopped, Follower
from fitness.domain.use_cases.live_access import LiveAccess
from fitness.entrypoints.http.accounts import NO_STORE
from fitness.entrypoints.http.arrived import ARRIVED, Arrived
from fitness.entrypoints.http.changes import change_body
from fitness.entrypoints.http.cursors import change_cursor, change_of
from fitness.entrypoints.http.delivery import takes
from fitness.entrypoints.http.feed import Feed
from fitness.entrypoints.http.kinds import NotAcceptable
from fitness.entrypoints.http.queries import read_query
from fitness.entrypoints.http.routes import Access, Route
from fitness.entrypoints.http.streams import UNBUFFERED, Streamed, nothing
from fitness.ports.live import TICKET_TTL_S
from fitness.ports.outages import Outage, TicketsUnavailable

EVENTS = "text/event-stream"

BEAT_S = 15.0
"""The silence before a comment is sent: it detects a client that is gone, and keeps proxies from closing the stream."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    ticket: str
    """For `?ticket=` of the WebSocket, once."""
    expires_in: int
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveQuery:
    cursor: (
        Annotated[
            str, Meta(description="The `cursor` of the last change that is known: on from there. Else from now on.")
        ]
        | None
    ) = None


@post(
    "/ticket",
    status_code=201,
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.OTHER,
        refuses=(TicketsUnavailable,),
        unstored=True,
    ).opt,
)
async def issue_ticket(
    request: Request[Caller, Any, Any], live_access: NamedDependency[LiveAccess]
) -> Response[Ticket]:
    """A ticket with which a browser opens the WebSocket `/api/v1/live?ticket=…`, once and within 30 seconds."""
    ticket = Ticket(ticket=await live_access.issue(request.user), expires_in=TICKET_TTL_S)
    return Response(ticket, headers=NO_STORE)


@get(
    "/",
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_READ,
        action=Action.OTHER,
        query=LiveQuery,
        refuses=(NotAcceptable, ChangesNotKept, TooManyFollowers),
        headers={
            "Accept": f"Must name `{EVENTS}`.",
            "Last-Event-ID": "The `id` of the last event, as browsers send it; in place of `cursor`.",
        },
        files=(EVENTS,),
        sends=("X-Accel-Buffering",),
        unstored=True,
    ).opt,
)
async def follow_changes(request: Request[Caller, Any, Any], feed: NamedDependency[Feed]) -> Response[bytes]:
    """The caller's changes as they happen, as server-sent events that do not end.

    An event's `id` is the cursor behind it. `following` comes first, without a change; then each `change`, with the
    item of `/activities/changes` as its data, once and in order. `end` says why no more come. Needs `Accept:
    text/event-stream`. The same address is that of the WebSocket, which the beginning of this document describes.
    """
    if not takes(request.headers.get("accept", "")[:200].encode("latin-1"), EVENTS.encode()):
        raise NotAcceptable(f"this is a stream of events: ask with Accept: {EVENTS}, or for a WebSocket")
    query, by = read_query(request, LiveQuery), request.user
    cursor = request.headers.get("last-event-id") or query.cursor
    seq = await feed.admit(by, None if cursor is None else change_of(cursor, by.id))
    arrived: Arrived = request.scope[ARRIVED]  # type: ignore[literal-required]
    events = nothing() if arrived.method == "HEAD" else _events(feed, by, seq)
    await anext(events, b"")  # before the head is sent: afterwards 409 is impossible
    return Streamed(events, media_type=EVENTS, headers=NO_STORE | UNBUFFERED)


async def _events(feed: Feed, by: Caller, seq: int) -> AsyncGenerator[bytes, None]:
    """First an empty piece, once the follower has its place, then events. Raises TooManyFollowers before the first."""
    try:
        async with feed.live.following(by, seq) as follower:
            with feed.connected("events"):
                yield b""
                yield _event("following", change_cursor(by.id, seq), b"{}")
                while True:
                    yield await _next(feed, follower)
    except FeedStopped:
        return  # the client connects again by itself
    except (NotAuthenticated, ChangesNotKept, Outage) as error:
        yield _event("end", None, _encode({"reason": str(error)}))


async def _next(feed: Feed, follower: Follower) -> bytes:
    try:
        changes = await asyncio.wait_for(follower.next(), BEAT_S)
    except TimeoutError:
        return b":\n\n"
    feed.told(follower, changes)
    owner = follower.caller.id
    return b"".join(
        _event("change", change_cursor(owner, one.seq), _encode(change_body(one, owner))) for one in changes
    )


def _event(name: str, cursor: str | None, data: bytes) -> bytes:
    place = b"" if cursor is None else b"id: %b\n" % cursor.encode()
    return place + b"event: %b\ndata: %b\n\n" % (name.encode(), data)


live_router = Router("/live", tags=["activities"], route_handlers=[issue_ticket, follow_changes])
