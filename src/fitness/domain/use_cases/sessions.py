"""Sessions: begun by a login, continued by refresh tokens, ended by their owner or by a stolen token.

The end of a session is written to the database and is part of the account's standing, which every request reads. So it
holds on the next request on every process, whether or not the store of sessions can be reached.
"""

import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from fitness.domain.model.logins import networks_of
from fitness.domain.model.refusals import BadRefreshToken, SessionNotFound
from fitness.domain.model.sessions import RefreshClaim, Session, device_name
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import account_scope
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import AccessToken, AccessTokenPort
from fitness.ports.outages import Overloaded, SessionsUnavailable
from fitness.ports.sessions import Outcome, RefreshTokenPort, SessionStorePort
from fitness.ports.standings import StandingPort

WITHOUT_STORE = SessionsUnavailable, Overloaded
"""The store's exceptions, which do not matter where they are suppressed: ended sessions are in the database by then."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Client:
    """From where and with what somebody logs in or continues a session."""

    address: str
    user_agent: str | None = None

    @property
    def network(self) -> str:
        """The network of the address: enough for the owner to recognize the session, and no more."""
        return networks_of(self.address)[0]


@dataclass(frozen=True, slots=True)
class SessionTokens:
    access: AccessToken
    refresh: str | None
    """The refresh token; None if the store of sessions did not answer: then the session ends with the access token."""


@dataclass(frozen=True, slots=True)
class SessionService:
    store: SessionStorePort
    standings: StandingPort
    access_tokens: AccessTokenPort
    refresh_tokens: RefreshTokenPort
    changes: Changes
    clock: ClockPort

    async def begin(self, user_id: int, client: Client, *, since: datetime) -> SessionTokens:
        """Begin a session. `since` is a time before the password was looked up, since a change of the password ends all
        sessions that began earlier.
        """
        session = Session(
            id=secrets.token_hex(16),
            user_id=user_id,
            logged_in_at=since,
            last_used_at=since,
            device=device_name(client.user_agent),
            network=client.network,
        )
        refresh = None
        with suppress(*WITHOUT_STORE):
            await self.store.begin(session)
            refresh = self.refresh_tokens.issue(RefreshClaim(session.caller, 1))
        return SessionTokens(self.access_tokens.issue(session.caller), refresh)

    async def refresh(self, token: str, client: Client) -> SessionTokens:
        """Raises BadRefreshToken, SessionsUnavailable, Overloaded."""
        claim = self.refresh_tokens.verify(token)
        if claim is None or await self.standings.ended(claim.caller):
            raise BadRefreshToken
        caller = claim.caller
        rotation = await self.store.rotate(claim, at=self.clock.now(), network=client.network)
        if rotation is None:
            raise BadRefreshToken
        if rotation.outcome is Outcome.REUSED:
            await self._revoke(caller.id, caller.session_id)
            _log.warning("an old refresh token of user %s was sent; its session is revoked", caller.id)
            raise BadRefreshToken
        successor = self.refresh_tokens.issue(RefreshClaim(caller, rotation.number))
        return SessionTokens(self.access_tokens.issue(caller), successor)

    async def logout(self, caller: Caller) -> None:
        """End the caller's session."""
        await self._revoke(caller.id, caller.session_id)

    async def logout_all(self, caller: Caller) -> None:
        """End every session of the caller's account, this one too."""
        await self.end_all(caller.id)

    async def list(self, *, by: Caller) -> Sequence[Session]:
        """The caller's sessions, the last used first. Raises SessionsUnavailable, Overloaded."""
        found = await self.store.list(by.id, at=self.clock.now())
        standing = await self.standings.of(by.id, at=self.clock.now())
        return [session for session in found if not standing.refuses(session.caller)]

    async def revoke(self, session_id: str, *, by: Caller) -> None:
        """End one session of the caller's. Raises SessionNotFound.

        While the store of sessions does not answer, any id is revoked, known or not: no session of another account can
        be ended in this way.
        """
        with suppress(*WITHOUT_STORE):
            if session_id not in [session.id for session in await self.list(by=by)] and session_id != by.session_id:
                raise SessionNotFound
        if not _is_id(session_id):
            raise SessionNotFound
        await self._revoke(by.id, session_id)

    async def end_all(self, user_id: int, *, spared: str | None = None) -> None:
        revoke_all = partial(self.standings.revoke_all, user_id, at=self.clock.now(), spared=spared)
        await self.changes.make([account_scope(user_id)], revoke_all)
        await self.forget_all(user_id, spared=spared)

    async def forget_all(self, user_id: int, *, spared: str | None = None) -> None:
        """Remove sessions from the store, once they are ended in the database."""
        with suppress(*WITHOUT_STORE):
            await self.store.end_all(user_id, spared=spared)

    async def _revoke(self, user_id: int, session_id: str) -> None:
        """The database comes first: after a crash the store may remember sessions that only the store has forgotten."""
        revoke = partial(self.standings.revoke, user_id, session_id, at=self.clock.now())
        await self.changes.make([account_scope(user_id)], revoke)
        with suppress(*WITHOUT_STORE):
            await self.store.end(user_id, session_id)


def _is_id(text: str) -> bool:
    return len(text) == 32 and all(letter in "0123456789abcdef" for letter in text)
