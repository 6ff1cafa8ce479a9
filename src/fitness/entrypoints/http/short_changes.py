"""The short way of changes: POST /activities and PATCH of one without routing, over the same services as the handlers.

Routing, dependencies and the response's objects cost a third of a change. Unusual requests go the long way, and so do
changes that are refused: nothing has been changed then.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from litestar.types import HTTPScope, Receive

from fitness.domain.model.activities import Activity, DetailsChanges, NewActivity
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import Refusal
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.requesters import Requester
from fitness.entrypoints.http.arrived import Arrived
from fitness.entrypoints.http.bodies import JSON_TYPES, MAX_BODY_BYTES, decode_json, model_of
from fitness.entrypoints.http.charging import Charging
from fitness.entrypoints.http.etags import etag
from fitness.entrypoints.http.kinds import MalformedRequest
from fitness.entrypoints.http.short_way import ACTIVITY_ROUTE, LISTING_PATH, activity_id, bearer
from fitness.entrypoints.server.exchange import Answer, RawHeaders
from fitness.ports.credentials import AccessTokenPort

_encode = msgspec.json.Encoder().encode
_KINDS = {kind.encode() for kind in JSON_TYPES}
_CONDITIONS = {b"idempotency-key", b"if-match", b"if-none-match"}


class _Change(NamedTuple):
    route: str
    action: Action
    caller: Caller
    activity_id: int | None
    """None for a create."""


class ShortChanges:
    def __init__(self, tokens: AccessTokenPort, charging: Charging, activities: ActivityService) -> None:
        self._tokens = tokens
        self._charging = charging
        self._activities = activities

    async def answer(self, arrived: Arrived, scope: HTTPScope, receive: Receive) -> Answer | Receive:
        """The answer, or the `receive` by which the long way reads the request, which is not charged again there.

        Raises what charging the request raises. An Outage after the charge means that the change may have been made.
        """
        change = self._change(arrived, scope)
        if change is None:
            return receive
        arrived.caller, arrived.route = change.caller, change.route
        scope["path_template"] = change.route
        await self._charging.charge(change.action, Requester(self._charging.address(scope), change.caller), scope)
        arrived.charged = True
        received = await _received(receive)
        if received[-1]["type"] == "http.request":
            body = received[0]["body"] if len(received) == 1 else b"".join(one["body"] for one in received)
            answer = await self._made(body, change)
            if answer is not None:
                return answer
        return _again(received, receive)

    def _change(self, arrived: Arrived, scope: HTTPScope) -> _Change | None:
        """The change that a usual request asks for; None for an unusual one, such as one that repeats a header."""
        headers = arrived.headers
        length = headers.get(b"content-length", b"")
        usual = (
            not scope["query_string"]
            and headers.get(b"content-type") in _KINDS
            and _CONDITIONS.isdisjoint(headers)
            and length.isdigit()
            and int(length) <= MAX_BODY_BYTES
            and len(headers) == len([*scope["headers"]])
        )
        if arrived.method == "POST":
            route, action, changed = LISTING_PATH, Action.CREATE, None
            usual = usual and arrived.path == LISTING_PATH
        else:
            match = activity_id(arrived.path.encode())
            usual = usual and match is not None
            route, action, changed = ACTIVITY_ROUTE, Action.OTHER, int(match[1]) if match is not None else None
        caller = bearer(self._tokens, headers) if usual else None
        return None if caller is None else _Change(route, action, caller, changed)

    async def _made(self, body: bytes, change: _Change) -> Answer | None:
        """The answer to a change that was made; None if it was refused, and nothing was changed."""
        try:
            fields = decode_json(body)
            if not isinstance(fields, dict):
                return None
            if change.activity_id is None:
                return _created(await self._create(fields, change.caller))
            changes = model_of(fields, DetailsChanges, strict=True)
            return _answer(200, await self._activities.update(change.activity_id, changes, by=change.caller), [])
        except (MalformedRequest, Refusal):
            return None

    async def _create(self, fields: dict[str, Any], caller: Caller) -> Activity:
        created = await self._activities.create(model_of(fields, NewActivity, strict=True), by=caller)
        return created.activity


def _created(activity: Activity) -> Answer:
    return _answer(201, activity, [(b"location", b"%s/%d" % (LISTING_PATH.encode(), activity.id))])


def _answer(status: int, activity: Activity, headers: RawHeaders) -> Answer:
    content = _encode(activity)
    about: RawHeaders = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    return Answer(status, [(b"etag", etag(activity.version).encode()), *headers, *about], content)


async def _received(receive: Receive) -> list[Mapping[str, Any]]:
    """The messages of the whole body, or those until the client left."""
    received: list[Mapping[str, Any]] = []
    while not received or (received[-1]["type"] == "http.request" and received[-1]["more_body"]):
        received.append(await receive())
    return received


def _again(received: list[Mapping[str, Any]], receive: Receive) -> Receive:
    """A `receive` of the messages in `received`, then of those that are still to come."""
    left = iter(received)

    async def receive_again() -> Any:
        return next(left, None) or await receive()

    return receive_again
