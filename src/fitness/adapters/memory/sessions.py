"""Sessions in a dictionary."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fitness.domain.model.sessions import MOST_SESSIONS, REPEAT_WITHIN, RefreshClaim, Session
from fitness.ports.sessions import Outcome, Rotation


@dataclass(slots=True)
class _Kept:
    session: Session
    rotated_at: datetime
    number: int = 1
    reused: bool = False


class InMemorySessionStore:
    def __init__(self) -> None:
        self._kept: dict[int, dict[str, _Kept]] = {}

    async def begin(self, session: Session) -> None:
        own = self._kept.setdefault(session.user_id, {})
        own[session.id] = _Kept(session, session.logged_in_at)
        while len(own) > MOST_SESSIONS:
            others = [kept.session for kept in own.values() if kept.session.id != session.id]
            del own[min(others, key=lambda one: (one.last_used_at, one.id)).id]

    # adapters/redis/sessions.lua has the same rules; SessionStoreContract holds both to them.
    async def rotate(self, claim: RefreshClaim, *, at: datetime, network: str) -> Rotation | None:
        kept = self._kept.get(claim.caller.id, {}).get(claim.caller.session_id)
        if kept is None or kept.session.over(at):
            return None
        if not kept.reused and claim.number >= kept.number:
            kept.number, kept.rotated_at = claim.number + 1, at
            kept.session = replace(kept.session, last_used_at=at, network=network)
            return Rotation(Outcome.ROTATED, kept.number)
        if not kept.reused and claim.number == kept.number - 1 and at - kept.rotated_at <= REPEAT_WITHIN:
            return Rotation(Outcome.REPEATED, kept.number)
        kept.reused = True
        return Rotation(Outcome.REUSED, 0)

    async def list(self, user_id: int, *, at: datetime) -> Sequence[Session]:
        own = self._kept.get(user_id, {}).values()
        living = [kept.session for kept in own if not kept.reused and not kept.session.over(at)]
        return sorted(living, key=lambda one: (one.last_used_at, one.id), reverse=True)

    async def end(self, user_id: int, session_id: str) -> None:
        self._kept.get(user_id, {}).pop(session_id, None)

    async def end_all(self, user_id: int, *, spared: str | None = None) -> None:
        own = self._kept.pop(user_id, {})
        if spared in own:
            self._kept[user_id] = {spared: own[spared]}
