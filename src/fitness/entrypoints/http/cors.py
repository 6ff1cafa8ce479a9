"""Cross-origin requests: which pages of other sites may use the service from a browser (Fetch, 3.2)."""

from collections.abc import Iterable, Mapping

from litestar import Litestar

from fitness.entrypoints.http.problems import allow_header
from fitness.entrypoints.http.routes import declared, operations
from fitness.entrypoints.server.exchange import RawHeaders

ANY_ORIGIN = "*"
PREFLIGHT_LASTS_S = 7_200

_EVERYWHERE = ("Authorization", "Content-Type", "Traceparent", "X-Request-ID")


class Cors:
    """Allows the pages of `origins`, or all pages if ANY_ORIGIN is one. Cookies are not allowed, only tokens."""

    def __init__(self, origins: Iterable[str], request_headers: Iterable[str]) -> None:
        self._origins = {origin.encode() for origin in origins}
        self._any = ANY_ORIGIN.encode() in self._origins
        self._request_headers = ", ".join(sorted({*_EVERYWHERE, *request_headers})).encode()
        self.on = bool(self._origins)

    def headers(self, asked_with: Mapping[bytes, bytes]) -> RawHeaders:
        """The headers of every answer to an allowed page, which let it read the answer and its headers."""
        origin = asked_with.get(b"origin")
        if origin is None or not (self._any or origin in self._origins):
            return []
        return [
            (b"access-control-allow-origin", b"*" if self._any else origin),
            (b"access-control-expose-headers", b"*"),
        ]

    def lets_in(self, asked_with: Mapping[bytes, bytes]) -> bool:
        """Whether a WebSocket may be opened, for which browsers send no preflight: by pages of the `origins` and of the
        service's own site, and by clients that are no pages and send no Origin.
        """
        origin = asked_with.get(b"origin")
        if origin is None or self._any or origin in self._origins:
            return True
        return origin.partition(b"://")[2] == asked_with.get(b"host")

    def preflight(self, asked_with: Mapping[bytes, bytes], allow: bytes) -> RawHeaders:
        """The headers of the answer to a preflight, beside those of `headers`; empty for any other request."""
        if b"access-control-request-method" not in asked_with or not self.headers(asked_with):
            return []
        return [
            (b"access-control-allow-methods", allow),
            (b"access-control-allow-headers", self._request_headers),
            (b"access-control-max-age", b"%d" % PREFLIGHT_LASTS_S),
        ]


def allowed_methods(app: Litestar) -> Mapping[str, bytes]:
    """The Allow header of each path."""
    methods: dict[str, set[str]] = {}
    for method, path, _ in operations(app):
        methods.setdefault(path, set()).add(method)
    return {path: allow_header(found).encode() for path, found in methods.items()}


def request_headers(app: Litestar) -> set[str]:
    """The request headers that any route reads."""
    return {name for _, _, handler in operations(app) for name in declared(handler).headers}
