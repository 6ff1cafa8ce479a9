"""The short way of a create: POST /activities without routing, over the same services as its handler.

Routing, dependencies and the response's objects cost a third of a create. What is unusual, and all that is refused,
goes the long way, which knows how to answer it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar.types import Receive

from fitness.domain.model.activities import NewActivity
from fitness.domain.model.rate_limits import Action, RateLimited
from fitness.domain.model.refusals import NotAuthenticated, Refusal
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.limiting import LimitService
from fitness.domain.use_cases.requesters import Requester
from fitness.entrypoints.http.arrived import Arrived
from fitness.entrypoints.http.bodies import MAX_BODY_BYTES, decode_json, model_of
from fitness.entrypoints.http.etags import etag
from fitness.entrypoints.http.problems import MalformedRequest
from fitness.entrypoints.http.rate_limits import limit_headers
from fitness.entrypoints.http.short_way import LISTING_PATH, bearer
from fitness.entrypoints.server.exchange import Answer, RawHeaders
from fitness.ports.credentials import AccessTokenPort
from fitness.ports.outages import Outage

_encode = msgspec.json.Encoder().encode


class ShortCreate:
    def __init__(self, tokens: AccessTokenPort, limits: LimitService, activities: ActivityService) -> None:
        self._tokens = tokens
        self._limits = limits
        self._activities = activities

    async def answer(self, arrived: Arrived, sent: RawHeaders, query: bytes, receive: Receive) -> Answer | Receive:
        """The answer; or by what the long way receives the request, which is not charged there again.

        Raises an Outage once the body is read: the activity may have been recorded.
        """
        caller = self._caller(arrived) if not query and len(arrived.headers) == len(sent) else None
        if caller is None or not await self._is_admitted(arrived, caller):
            return receive
        received = await _received(receive)
        if received[-1]["type"] == "http.request":
            body = received[0]["body"] if len(received) == 1 else b"".join(one["body"] for one in received)
            answer = await self._created(body, caller)
            if answer is not None:
                return answer
        return _again(received, receive)

    def _caller(self, arrived: Arrived) -> Caller | None:
        """Whose usual create it is."""
        headers = arrived.headers
        length = headers.get(b"content-length", b"")
        usual = (
            arrived.path == LISTING_PATH
            and headers.get(b"content-type") == b"application/json"
            and b"idempotency-key" not in headers
            and length.isdigit()
            and int(length) <= MAX_BODY_BYTES
        )
        return bearer(self._tokens, headers) if usual else None

    async def _is_admitted(self, arrived: Arrived, caller: Caller) -> bool:
        """A refusal is charged to nobody, and the long way finds it again."""
        try:
            decision = await self._limits.admit(Action.CREATE, Requester("", caller))
        except (RateLimited, NotAuthenticated, Outage):
            return False
        arrived.charged, arrived.caller, arrived.route = True, caller, LISTING_PATH
        if decision is not None:
            arrived.answer_headers += limit_headers(decision)
        return True

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
