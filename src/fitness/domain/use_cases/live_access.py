"""Who may connect to the live feed, and whether they still may."""

import hashlib
import secrets
from dataclasses import dataclass

from fitness.domain.model.api_keys import key_of
from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import Caller, Standing
from fitness.domain.use_cases.api_keys import ApiKeyService
from fitness.domain.use_cases.caching.keys import standing_key
from fitness.domain.use_cases.caching.reads import CachedReads
from fitness.ports.clock import ClockPort
from fitness.ports.live import TicketPort
from fitness.ports.standings import StandingPort


@dataclass(frozen=True, slots=True)
class LiveAccess:
    tickets: TicketPort
    keys: ApiKeyService
    standings: StandingPort
    cached: CachedReads
    clock: ClockPort

    async def issue(self, caller: Caller) -> str:
        """A ticket with which the caller can connect once, within TICKET_TTL_S. Raises TicketsUnavailable."""
        ticket = secrets.token_urlsafe(24)
        await self.tickets.issue(_digest(ticket), caller)
        return ticket

    async def redeem(self, ticket: str) -> Caller:
        """Raises NotAuthenticated, TicketsUnavailable."""
        caller = await self.tickets.redeem(_digest(ticket))
        if caller is None:
            raise NotAuthenticated("the ticket is unknown, older than 30 s, or has been used")
        return caller

    async def check(self, caller: Caller) -> None:
        """Raises NotAuthenticated if the token has expired, or if the session, the API key or the account has ended;
        and DatabaseUnavailable.
        """
        # First, so that nobody's connection outlives its token while the database is down.
        if caller.until is not None and self.clock.now() >= caller.until:
            raise NotAuthenticated("what this was opened with has expired; connect again with a new token")
        if (await self._standing(caller.id)).refuses(caller):
            raise NotAuthenticated("this session has ended; log in again")
        key_id = key_of(caller)
        if key_id is not None and key_id not in {key.id for key in await self.keys.list(by=caller)}:
            raise NotAuthenticated("the API key has expired, or was revoked")

    async def _standing(self, user_id: int) -> Standing:
        async def load() -> Standing:
            return await self.standings.of(user_id, at=self.clock.now())

        return (await self.cached.read_through(standing_key(user_id), load)).value


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
