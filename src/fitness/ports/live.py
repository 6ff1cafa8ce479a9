"""What connections to the live feed need to begin: tickets, and a place among those of the account."""

from collections.abc import Iterable
from typing import Protocol

from fitness.domain.model.users import Caller

TICKET_TTL_S = 30
PLACE_TTL_S = 20
"""A place that is not kept for so long is free again: its process was killed."""

Place = tuple[int, str]
"""A user and the name of a connection."""


class TicketPort(Protocol):
    """A ticket stands for a caller, once. Every method raises TicketsUnavailable."""

    async def issue(self, digest: bytes, caller: Caller) -> None:
        """Keep it for TICKET_TTL_S, under its digest alone."""

    async def redeem(self, digest: bytes) -> Caller | None:
        """Who it was issued to, `until` included; None if it is unknown, is over, or has been redeemed."""


class PlacePort(Protocol):
    """Counts the connections of each user in all processes. Every method raises TicketsUnavailable."""

    async def take(self, place: Place, *, most: int) -> bool:
        """False where the user has `most` already."""

    async def keep(self, places: Iterable[Place]) -> None:
        """For another PLACE_TTL_S, those that were lost meanwhile too. Each is drawn just before it is kept."""

    async def leave(self, place: Place) -> None:
        """It is free at once."""
