"""A request from its arrival on: the state that the edge, the gate and the short way share."""

import random
import re
import time
from collections.abc import Mapping

from fitness.domain.model.rate_limits import Decision
from fitness.domain.model.refusals import Refusal
from fitness.domain.model.users import Caller
from fitness.entrypoints.server.exchange import UNANSWERED
from fitness.ports.outages import Outage

ARRIVED = UNANSWERED
"""The key of the scope that holds the request's Arrived."""

UNMATCHED = "unmatched"
"""Takes the place of the route for a request that no route matches."""

_visible = re.compile(rb"[\x21-\x7e]{1,128}").fullmatch


class Arrived:
    __slots__ = (
        *("answer_headers", "caller", "charged", "decided", "failure", "headers"),
        *("method", "name", "path", "route", "started_s"),
    )

    def __init__(self, method: str, path: str, sent: list[tuple[bytes, bytes]]) -> None:
        self.started_s = time.perf_counter()
        self.method = method
        self.path = path
        self.headers = dict(sent)
        """The request's headers; the values of a repeated header with commas between them (RFC 9110, 5.3)."""
        if len(self.headers) < len(sent):
            self.headers = _joined(sent)
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
        self.failure: Refusal | Outage | None = None
        """Why the short way could not admit the request. The long way takes it over: it does not ask the stores again,
        and so neither charges nor counts the request twice.
        """

    def texts(self) -> Mapping[str, str]:
        """The headers as text."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers.items()}


def _joined(sent: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    joined: dict[bytes, bytes] = {}
    for name, value in sent:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def _request_id(given: bytes | None) -> bytes:
    """The client's X-Request-Id if it is visible ASCII of at most 128 characters, otherwise a new one."""
    if given is not None and _visible(given):
        return given
    return b"%032x" % random.getrandbits(128)
