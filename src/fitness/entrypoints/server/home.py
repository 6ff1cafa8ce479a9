"""What a connection needs of the listener that accepted it."""

from typing import Protocol

from fitness.entrypoints.server.exchange import RawHeaders


class Kept(Protocol):
    """A client's connection, as the listener keeps it: an HTTP connection, or the WebSocket that it has become."""

    @property
    def waits_for_client(self) -> bool:
        """Whether the connection waits for its client, so that ending it wastes only the client's own time."""

    def end_if_idle(self) -> None:
        """Called when the service stops: end now, unless an HTTP request is under way, which is finished."""

    def end(self) -> None:
        """End at once, whatever is under way."""

    def look(self, now_s: float) -> None:
        """End the connection if it has passed a deadline at `now_s`, a time of the event loop."""


class Home(Protocol):
    date: bytes
    """The Date header's value."""
    draining: bool

    def problem(self, status: int, detail: str) -> tuple[RawHeaders, bytes]:
        """The headers and the body of an answer that the server gives without the application."""

    def left(self, kept: Kept) -> None:
        """Called when `kept` has ended."""

    def became(self, before: Kept, after: Kept) -> None:
        """Keep `after` in place of `before`."""

    def refused(self, status: int) -> None:
        """Called when the server has given an answer that the application does not know of."""
