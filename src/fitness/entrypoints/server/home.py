"""What a connection needs of the listener that accepted it."""

from typing import TYPE_CHECKING, Protocol

from fitness.entrypoints.server.exchange import RawHeaders

if TYPE_CHECKING:
    from fitness.entrypoints.server.connection import Connection


class Home(Protocol):
    date: bytes
    """The Date header's value."""
    draining: bool

    def problem(self, status: int, detail: str) -> tuple[RawHeaders, bytes]:
        """Headers and body of an answer that the server gives by itself."""

    def refused(self, status: int) -> None:
        """An answer was given of which the application knows nothing."""

    def left(self, connection: "Connection") -> None:
        """The connection has ended."""
