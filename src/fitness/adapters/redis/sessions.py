"""Sessions in the state Redis: one hash for each account, and one script to use a refresh token."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from fitness.adapters.redis.client import AnyLine
from fitness.adapters.redis.connection import Command
from fitness.adapters.redis.line import FAILURES, LineFull
from fitness.domain.model.sessions import (
    IDLE_FOR,
    LONGEST,
    MOST_SESSIONS,
    REPEAT_WITHIN,
    RefreshClaim,
    Session,
    microseconds,
)
from fitness.ports.outages import Overloaded, SessionsUnavailable
from fitness.ports.sessions import Outcome, Rotation

SCHEMA = "v1"
"""Raised with every change of the stored format; sessions stored under another schema are lost."""

SCRIPT = files("fitness.adapters.redis").joinpath("sessions.lua").read_text(encoding="utf-8")
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

KEPT_MS = IDLE_FOR // timedelta(milliseconds=1)
_SPANS_US = tuple(span // timedelta(microseconds=1) for span in (IDLE_FOR, LONGEST, REPEAT_WITHIN))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Kept(msgspec.Struct):
    """One session as JSON. Numbers are text, since Lua's JSON would write them with too few digits."""

    number: str
    since: str
    used: str
    rotated: str
    device: str
    network: str
    reused: str = ""


_decode = msgspec.json.Decoder(_Kept).decode


class RedisSessionStore:
    def __init__(self, line: AnyLine) -> None:
        self._line = line

    async def begin(self, session: Session) -> None:
        name, at = _name(session.user_id), str(microseconds(session.logged_in_at))
        kept = _Kept("1", at, str(microseconds(session.last_used_at)), at, session.device or "", session.network)
        _, _, count = await self._ask(
            name,
            ("HSET", name, session.id, msgspec.json.encode(kept)),
            ("PEXPIRE", name, KEPT_MS),
            ("HLEN", name),
        )
        if count > MOST_SESSIONS:
            await self._end_surplus(session)

    async def rotate(self, claim: RefreshClaim, *, at: datetime, network: str) -> Rotation | None:
        name = _name(claim.caller.id)
        given: Command = (1, name, claim.caller.session_id, claim.number, microseconds(at), network)
        call: Command = (*given, *_SPANS_US, KEPT_MS)
        try:
            (answer,) = await self._ask(name, ("EVALSHA", SHA, *call))
        except NoScriptError:  # the server restarted: send it the script's text
            (answer,) = await self._ask(name, ("EVAL", SCRIPT, *call))
        outcome, number = answer[0].decode(), int(answer[1])
        return None if outcome == "unknown" else Rotation(Outcome(outcome), number)

    async def end(self, user_id: int, session_id: str) -> None:
        name = _name(user_id)
        await self._ask(name, ("HDEL", name, session_id))

    async def end_all(self, user_id: int, *, spared: str | None = None) -> None:
        name = _name(user_id)
        if spared is None:
            await self._ask(name, ("DEL", name))
        elif others := [session.id for session, _ in await self._all(user_id) if session.id != spared]:
            await self._ask(name, ("HDEL", name, *others))

    async def _end_surplus(self, newest: Session) -> None:
        others = [session for session, _ in await self._all(newest.user_id) if session.id != newest.id]
        others.sort(key=lambda one: (one.last_used_at, one.id))
        if surplus := [one.id for one in others[: len(others) + 1 - MOST_SESSIONS]]:
            name = _name(newest.user_id)
            await self._ask(name, ("HDEL", name, *surplus))

    async def _all(self, user_id: int) -> list[tuple[Session, bool]]:
        """The account's sessions, each with whether a token of it was reused."""
        name = _name(user_id)
        (answer,) = await self._ask(name, ("HGETALL", name))
        pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
        return [_read(user_id, session_id, text) for session_id, text in pairs]

    async def _ask(self, name: str, *commands: Command) -> list[Any]:
        try:
            return (await self._line.ask(name, *commands)).replies
        except NoScriptError:
            raise
        except LineFull as error:
            raise Overloaded(str(error)) from error
        except FAILURES as error:
            raise SessionsUnavailable("sessions cannot be read or written now; try again") from error

    async def list(self, user_id: int, *, at: datetime) -> Sequence[Session]:
        found = [session for session, reused in await self._all(user_id) if not reused and not session.over(at)]
        return sorted(found, key=lambda one: (one.last_used_at, one.id), reverse=True)


def _name(user_id: int) -> str:
    return f"{SCHEMA}:sessions:{{user:{user_id}}}"


def _read(user_id: int, session_id: bytes, text: bytes) -> tuple[Session, bool]:
    kept = _decode(text)
    session = Session(
        id=session_id.decode(),
        user_id=user_id,
        logged_in_at=_instant(kept.since),
        last_used_at=_instant(kept.used),
        device=kept.device or None,
        network=kept.network,
    )
    return session, bool(kept.reused)


def _instant(text: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(text))
