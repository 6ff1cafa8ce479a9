"""A request from its arrival on: the state that the edge, the gate and the short way share."""

import random
import re
import time
from collections.abc import Mapping

from fitness.domain.model.rate_limits import Decision, RateLimited
from fitness.domain.model.users import Caller
from fitness.entrypoints.server.exchange import UNANSWERED

ARRIVED = UNANSWERED
"""The key of the scope that holds the request's Arrived."""

UNMATCHED = "unmatched"
"""Takes the place of the route for a request that no route matches."""

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
        """The request's headers; of a repeated header, the last."""
        request_id = _request_id(self.headers.get(b"x-request-id"))
        self.name = request_id.decode()
        self.answer_headers = [(b"x-request-id", request_id)]
        """The headers of the response, whatever answers. The limits' headers are added when the request is charged."""
        self.caller: Caller | None = None
        self.route = UNMATCHED
        """The route's template, never the path itself: a metric's label must come from a closed set."""
        self.charged = False
        self.decided: Decision | None = None
        """The decision on all policies that the request was charged under so far."""
        self.refused: RateLimited | None = None
        """The refusal of the short way, for the long way to answer: the limiter is not asked, nor counts it, twice."""

    def texts(self) -> Mapping[str, str]:
        """The headers as text."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers.items()}


def _request_id(given: bytes | None) -> bytes:
    """The client's X-Request-Id if it is visible ASCII of at most 128 characters, otherwise a new one."""
    if given is not None and _visible(given):
        return given
    return b"%032x" % random.getrandbits(128)
