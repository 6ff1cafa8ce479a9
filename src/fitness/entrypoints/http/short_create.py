"""The short way of a create: POST /activities without routing, over the same services as its handler.

Routing, dependencies and the response's objects cost a third of a create. What is unusual goes the long way, and so
does a body with which something is wrong.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar.types import HTTPScope, Receive

from fitness.domain.model.activities import NewActivity
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import Refusal
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.requesters import Requester
from fitness.entrypoints.http.arrived import Arrived
from fitness.entrypoints.http.bodies import MAX_BODY_BYTES, decode_json, model_of
from fitness.entrypoints.http.charging import Charging
from fitness.entrypoints.http.etags import etag
from fitness.entrypoints.http.kinds import MalformedRequest
from fitness.entrypoints.http.short_way import LISTING_PATH, bearer
from fitness.entrypoints.server.exchange import Answer, RawHeaders
from fitness.ports.credentials import AccessTokenPort

_encode = msgspec.json.Encoder().encode


class ShortCreate:
    def __init__(self, tokens: AccessTokenPort, charging: Charging, activities: ActivityService) -> None:
        self._tokens = tokens
        self._charging = charging
        self._activities = activities

    async def answer(self, arrived: Arrived, scope: HTTPScope, receive: Receive) -> Answer | Receive:
        """The answer; or by what the long way receives the request, which is not charged there again.

        Raises what charging the request raises, and an Outage later: then the activity may have been recorded.
        """
        caller = self._caller(arrived, scope)
        if caller is None:
            return receive
        arrived.caller, arrived.route = caller, LISTING_PATH
        scope["path_template"] = LISTING_PATH
        await self._charging.charge(Action.CREATE, Requester(self._charging.address(scope), caller), scope)
        arrived.charged = True
        received = await _received(receive)
        if received[-1]["type"] == "http.request":
            body = received[0]["body"] if len(received) == 1 else b"".join(one["body"] for one in received)
            answer = await self._created(body, caller)
            if answer is not None:
                return answer
        return _again(received, receive)

    def _caller(self, arrived: Arrived, scope: HTTPScope) -> Caller | None:
        """Whose usual create it is. A repeated header is unusual."""
        headers = arrived.headers
        length = headers.get(b"content-length", b"")
        usual = (
            arrived.path == LISTING_PATH
            and not scope["query_string"]
            and headers.get(b"content-type") == b"application/json"
            and b"idempotency-key" not in headers
            and length.isdigit()
            and int(length) <= MAX_BODY_BYTES
            and len(headers) == len([*scope["headers"]])
        )
        return bearer(self._tokens, headers) if usual else None

    async def _created(self, body: bytes, caller: Caller) -> Answer | None:
        """None where nothing was recorded, since something is wrong with it."""
        try:
            fields = decode_json(body)
            if not isinstance(fields, dict):
                return None
            created = await self._activities.create(model_of(fields, NewActivity, strict=True), by=caller)
        except (MalformedRequest, Refusal):
            return None
        activity = created.activity
        content = _encode(activity)
        headers: RawHeaders = [
            (b"etag", etag(activity.version).encode()),
            (b"location", b"%s/%d" % (LISTING_PATH.encode(), activity.id)),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
        ]
        return Answer(201, headers, content)


async def _received(receive: Receive) -> list[Mapping[str, Any]]:
    """The messages of the whole body, or up to the client's leaving."""
    received: list[Mapping[str, Any]] = []
    while not received or (received[-1]["type"] == "http.request" and received[-1]["more_body"]):
        received.append(await receive())
    return received


def _again(received: list[Mapping[str, Any]], receive: Receive) -> Receive:
    """What was received, then what is still to come."""
    left = iter(received)

    async def receive_again() -> Any:
        return next(left, None) or await receive()

    return receive_again
