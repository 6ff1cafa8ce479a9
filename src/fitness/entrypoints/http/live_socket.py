"""WS /live: the caller's changes as they happen, over a WebSocket. README.md describes the messages and their order."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from fitness.domain.model.api_keys import KEY_PREFIX, ApiScope
from fitness.domain.model.rate_limits import Action, RateLimited
from fitness.domain.model.refusals import (
    ChangesNotKept,
    InsufficientScope,
    InvalidFields,
    NotAuthenticated,
    TooManyFollowers,
)
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.api_keys import ApiKeyService
from fitness.domain.use_cases.live import FeedStopped, Follower
from fitness.domain.use_cases.live_access import LiveAccess
from fitness.domain.use_cases.requesters import Requester
from fitness.entrypoints.http.arrived import ARRIVED, Arrived
from fitness.entrypoints.http.changes import ChangeBody, change_body
from fitness.entrypoints.http.charging import Charging
from fitness.entrypoints.http.cors import Cors
from fitness.entrypoints.http.cursors import change_cursor, change_of
from fitness.entrypoints.http.feed import Feed
from fitness.entrypoints.logs import REQUEST_ID, AccessLog, Response
from fitness.ports.credentials import AccessTokenPort
from fitness.ports.outages import Outage

PATH = "/api/v1/live"
HELLO_S = 5.0
"""The time for the client's first message, if the address has no ticket."""

SLOW_S = 10.0
"""The time for the client to read what is written to it, some 64 KiB at a time."""

MOST_REASON_BYTES = 120
"""The longest reason of a close; more is cut off."""

Record = Callable[[str, str, int, float], None]


class OutOfPlace(Exception):
    """The client sent a message that it may not send."""


CODES: Mapping[type[Exception], int] = {
    FeedStopped: 1012,
    Outage: 1013,
    InvalidFields: 4400,
    OutOfPlace: 4400,
    NotAuthenticated: 4401,
    InsufficientScope: 4403,
    TimeoutError: 4408,
    ChangesNotKept: 4410,
    TooManyFollowers: 4429,
    RateLimited: 4429,
}
"""The code of the close that ends a connection. 1012 and 1013 are the standard's: connect again, or again later."""


class _Hello(msgspec.Struct, forbid_unknown_fields=True):
    token: str = ""
    cursor: str | None = None


class _Following(msgspec.Struct, tag="following"):
    cursor: str


class _Told(msgspec.Struct, tag="change"):
    change: ChangeBody


class ClientLeft(Exception):
    """The client has left, so that nothing can be sent to it."""


_hello = msgspec.json.Decoder(_Hello).decode
_encode = msgspec.json.Encoder().encode


class LiveSocket:
    """An ASGI application of WebSockets alone."""

    def __init__(
        self,
        feed: Feed,
        access: LiveAccess,
        tokens: AccessTokenPort,
        keys: ApiKeyService,
        charging: Charging,
        cors: Cors,
        record: Record,
        access_log: AccessLog,
    ) -> None:
        self._feed = feed
        self._access = access
        self._tokens = tokens
        self._keys = keys
        self._charging = charging
        self._cors = cors
        self._record = record
        self._access_log = access_log

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        arrived = Arrived("GET", scope["path"], scope["headers"])
        arrived.route = PATH
        scope[ARRIVED], scope["path_template"] = arrived, PATH
        REQUEST_ID.set(arrived.name)
        await receive()  # websocket.connect
        status = 101 if self._cors.lets_in(arrived.headers) else 403
        self._record("GET", PATH, status, time.perf_counter() - arrived.started_s)
        try:
            if status == 403:
                with suppress(RateLimited):
                    await self._charging.charge(Action.OTHER, Requester(self._charging.address(scope)), scope)
                await send({"type": "websocket.close", "reason": "pages of this origin may not connect"})
                return
            with self._feed.connected("websocket"):
                await send({"type": "websocket.accept"})
                code, reason = await self._served(arrived, scope, receive, send)
            await send({"type": "websocket.close", "code": code, "reason": _short(reason)})
        finally:
            self._log(arrived, status)

    async def _served(self, arrived: Arrived, scope: Any, receive: Any, send: Any) -> tuple[int, str]:
        """Serve until something ends the connection. Returns the code and the reason of the close."""
        try:
            caller, cursor = await self._begun(scope, receive)
            arrived.caller = caller
            after = None if cursor is None else change_of(cursor, caller.id)
            seq = await self._feed.admit(caller, after)
            async with self._feed.live.following(caller, seq) as follower:
                hearing = asyncio.ensure_future(_silence(receive))
                hearing.add_done_callback(lambda heard: _end(follower, heard))
                try:
                    await self._tell(follower, send)
                finally:
                    hearing.cancel()
        except ClientLeft:
            return 1000, ""
        except tuple(CODES) as error:
            code = next(CODES[cls] for cls in type(error).__mro__ if cls in CODES)
            return code, _REASONS.get(code) or str(error)
        raise AssertionError("a follower is told of changes until something ends it")

    async def _begun(self, scope: Any, receive: Any) -> tuple[Caller, str | None]:
        """The caller, by the ticket or the first message, and the cursor that was given.

        The request is charged to the account. Without a valid ticket it is charged to the address before that: once the
        limit of the address is used up, the service does not wait for a first message.
        """
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        address = self._charging.address(scope)
        if "ticket" in query:
            try:
                caller, cursor = await self._access.redeem(query["ticket"]), query.get("cursor")
            except NotAuthenticated:
                await self._charging.charge(Action.OTHER, Requester(address), scope)
                raise
        else:
            await self._charging.charge(Action.OTHER, Requester(address), scope)
            hello = await _first_message(receive)
            caller, cursor = await self._caller(hello.token), hello.cursor or query.get("cursor")
        await self._charging.charge(Action.OTHER, Requester(address, caller), scope)
        return caller, cursor

    async def _caller(self, token: str) -> Caller:
        """The caller that a token or an API key names, as in the gate. Raises NotAuthenticated, InsufficientScope."""
        if not token.startswith(KEY_PREFIX):
            return self._tokens.verify(token)
        key = await self._keys.verify(token)
        if ApiScope.ACTIVITIES_READ not in key.scopes:
            raise InsufficientScope(ApiScope.ACTIVITIES_READ)
        return key.caller

    async def _tell(self, follower: Follower, send: Any) -> None:
        """Send the changes until an exception ends this."""
        owner = follower.caller.id
        await _say(send, _encode(_Following(change_cursor(owner, follower.seq))))
        while True:
            changes = await follower.next()
            for one in changes:
                await _say(send, _encode(_Told(change_body(one, owner))))
            self._feed.told(follower, changes)

    def _log(self, arrived: Arrived, status: int) -> None:
        seconds = time.perf_counter() - arrived.started_s
        user_id = arrived.caller.id if arrived.caller else None
        self._access_log.write(Response(time.time(), "GET", PATH, status, seconds, user_id, arrived.name))


_REASONS = {
    1012: "the service restarts: connect again",
    1013: "the service cannot go on now: connect again later",
    4408: "what was sent was not taken in time: connect again, from the last cursor",
}


async def _first_message(receive: Any) -> _Hello:
    """Raises ClientLeft, NotAuthenticated, OutOfPlace."""
    try:
        async with asyncio.timeout(HELLO_S):
            message = await receive()
    except TimeoutError as error:
        raise NotAuthenticated(f"no ticket, and no message with a token within {HELLO_S:.0f} s") from error
    if message["type"] != "websocket.receive":
        raise ClientLeft
    try:
        hello = _hello(message.get("text") or message.get("bytes") or "")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OutOfPlace('the first message is {"token": "…", "cursor": "…"}') from error
    if not hello.token:
        raise NotAuthenticated("the first message has no token")
    return hello


async def _silence(receive: Any) -> None:
    """Wait until the client leaves, or sends a message, which it may not. Raises ClientLeft, OutOfPlace."""
    message = await receive()
    if message["type"] == "websocket.disconnect":
        raise ClientLeft
    raise OutOfPlace("after the first message, nothing is to be sent")


def _end(follower: Follower, heard: "asyncio.Future[None]") -> None:
    if not heard.cancelled() and (error := heard.exception()) is not None:
        assert isinstance(error, Exception)
        follower.end(error)


async def _say(send: Any, text: bytes) -> None:
    """Raises TimeoutError if the client does not read in time, ClientLeft if it is gone."""
    async with asyncio.timeout(SLOW_S):
        try:
            await send({"type": "websocket.send", "text": text.decode()})
        except RuntimeError as error:
            raise ClientLeft from error


def _short(reason: str) -> str:
    return reason.encode()[:MOST_REASON_BYTES].decode(errors="ignore")
