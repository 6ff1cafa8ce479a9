"""What a connection to the live feed needs to begin: a ticket, and one of its account's places."""

from collections.abc import Iterable
from typing import Protocol

from fitness.domain.model.users import Caller

TICKET_TTL_S = 30
PLACE_TTL_S = 20
"""A place that is not kept for this long is free again: its process was killed."""

Place = tuple[int, str]
"""The id of a user and the name of a connection."""


class TicketPort(Protocol):
    """A ticket identifies a caller, once. Every method raises TicketsUnavailable."""

    async def issue(self, digest: bytes, caller: Caller) -> None:
        """Keep a ticket for TICKET_TTL_S, under its digest alone."""

    async def redeem(self, digest: bytes) -> Caller | None:
        """The caller whom the ticket was issued to, `until` included; None if it is unknown, expired, or redeemed."""


class PlacePort(Protocol):
    """Counts the connections of each user in all processes. Every method raises TicketsUnavailable."""

    async def take(self, place: Place, *, most: int) -> bool:
        """Take a place. False if the user has `most` places already."""

    async def keep(self, places: Iterable[Place]) -> None:
        """Keep places for another PLACE_TTL_S, even those that the store has lost.

        Each place is taken from the iterable just before it is kept.
        """

    async def leave(self, place: Place) -> None:
        """Free the place at once."""
