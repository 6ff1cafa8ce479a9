"""What a connection needs of the listener that accepted it."""

from typing import Protocol

from fitness.entrypoints.server.exchange import RawHeaders


class Kept(Protocol):
    """What the listener keeps and looks after: a connection, or what one has become."""

    @property
    def waits_for_client(self) -> bool:
        """Whether nothing but the client's own time is lost if this ends."""

    def end_if_idle(self) -> None:
        """The service stops; whatever is under way is finished."""

    def end(self) -> None:
        """At once, whatever is under way."""

    def look(self, now_s: float) -> None:
        """End what is overdue."""


class Home(Protocol):
    date: bytes
    """The Date header's value."""
    draining: bool

    def problem(self, status: int, detail: str) -> tuple[RawHeaders, bytes]:
        """Headers and body of an answer that the server gives by itself."""

    def left(self, kept: Kept) -> None:
        """It has ended."""

    def became(self, before: Kept, after: Kept) -> None:
        """The one is kept in place of the other."""

    def refused(self, status: int) -> None:
        """An answer was given of which the application knows nothing."""
