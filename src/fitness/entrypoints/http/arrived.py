"""A request from when it arrives: what the edge, the gate and the short way know of it together."""

import random
import re
import time
from collections.abc import Mapping

from fitness.domain.model.rate_limits import Decision, RateLimited
from fitness.domain.model.users import Caller
from fitness.entrypoints.server.exchange import UNANSWERED

ARRIVED = UNANSWERED
"""The scope's key under which the request's Arrived stands."""

UNMATCHED = "unmatched"
"""In place of a route, for a request that none matches."""

_visible = re.compile(rb"[\x21-\x7e]{1,128}").fullmatch


class Arrived:
    __slots__ = (
        *("answer_headers", "caller", "charged", "decided", "headers"),
        *("method", "name", "path", "refused", "route", "started_s"),
    )

    def __init__(self, method: str, path: str, sent: list[tuple[bytes, bytes]]) -> None:
        self.started_s = time.perf_counter()
        self.method = method
        self.path = path
        self.headers = dict(sent)
        """Of a repeated header, the last."""
        request_id = _request_id(self.headers.get(b"x-request-id"))
        self.name = request_id.decode()
        self.answer_headers = [(b"x-request-id", request_id)]
        """What every response has, whatever answers the request. The limits' headers are added when it is charged."""
        self.caller: Caller | None = None
        self.route = UNMATCHED
        """Never the path itself: a metric's label must come from a closed set."""
        self.charged = False
        self.decided: Decision | None = None
        """On all policies that the request was charged under so far."""
        self.refused: RateLimited | None = None
        """What the short way found, for the long way to answer: nobody is asked, and counts it, a second time."""

    def texts(self) -> Mapping[str, str]:
        """The headers as text."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers.items()}


def _request_id(given: bytes | None) -> bytes:
    """The client's X-Request-Id if it is visible ASCII of at most 128 characters, otherwise a new one."""
    if given is not None and _visible(given):
        return given
    return b"%032x" % random.getrandbits(128)
