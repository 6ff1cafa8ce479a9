"""What every SessionStorePort and RefreshTokenPort promise."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from fitness.domain.model.sessions import IDLE_FOR, LONGEST, MOST_SESSIONS, REPEAT_WITHIN, RefreshClaim, Session
from fitness.domain.model.users import Caller
from fitness.ports.sessions import Outcome, RefreshTokenPort, Rotation, SessionStorePort
from tests.builders import NOW

MOMENT = timedelta(microseconds=1)
CLAIM = RefreshClaim(Caller(2**40 + 7, "0123456789abcdef" * 2, 1_795_000_000_123_457), 3)


def a_session(number: int = 1, *, user_id: int = 7, at: datetime = NOW) -> Session:
    return Session(
        id=f"{number:032x}",
        user_id=user_id,
        logged_in_at=at,
        last_used_at=at,
        device='curl "8" \\ /',
        network="198.51.100.0/24",
    )


async def used(
    store: SessionStorePort, number: int, at: datetime, session: Session | None = None, network: str = "-"
) -> Rotation | None:
    return await store.rotate(RefreshClaim((session or a_session()).caller, number), at=at, network=network)


def rotated(number: int) -> Rotation:
    return Rotation(Outcome.ROTATED, number)


def repeated(number: int) -> Rotation:
    return Rotation(Outcome.REPEATED, number)


REUSED = Rotation(Outcome.REUSED, 0)


class SessionStoreContract:
    """An implementation's class gives the fixture `session_store`, empty for each test."""

    async def test_a_session_is_listed_as_it_began(self, session_store: SessionStorePort):
        session = a_session(at=NOW + MOMENT)
        await session_store.begin(session)
        assert list(await session_store.list(7, at=NOW + MOMENT)) == [session]
        assert list(await session_store.list(8, at=NOW + MOMENT)) == []

    async def test_a_client_that_does_not_say_what_it_is_has_no_device(self, session_store: SessionStorePort):
        session = replace(a_session(), device=None)
        await session_store.begin(session)
        assert list(await session_store.list(7, at=NOW)) == [session]

    async def test_each_token_is_followed_by_the_next(self, session_store: SessionStorePort):
        await session_store.begin(a_session())
        for number in range(1, 4):
            at = NOW + number * timedelta(days=1)
            assert await used(session_store, number, at, network=f"net {number}") == rotated(number + 1)
        (session,) = await session_store.list(7, at=at)
        assert (session.logged_in_at, session.last_used_at, session.network) == (NOW, at, "net 3")

    async def test_of_many_who_use_one_token_at_once_all_get_one_successor(self, session_store: SessionStorePort):
        await session_store.begin(a_session())
        answers = await asyncio.gather(*(used(session_store, 1, NOW + timedelta(hours=1)) for _ in range(200)))
        assert sorted(answers.count(one) for one in (rotated(2), repeated(2))) == [1, 199]

    async def test_the_token_before_is_answered_alike_for_a_minute(self, session_store: SessionStorePort):
        await session_store.begin(a_session())
        await used(session_store, 1, NOW)
        for late in (timedelta(seconds=45), REPEAT_WITHIN):
            assert await used(session_store, 1, NOW + late) == repeated(2)
        assert await used(session_store, 1, NOW + REPEAT_WITHIN + MOMENT) == REUSED

    async def test_an_older_token_ends_its_session_alone(self, session_store: SessionStorePort):
        await session_store.begin(a_session())
        await session_store.begin(a_session(2))
        for number in (1, 2):
            await used(session_store, number, NOW)
        for number in (1, 3, 2, 1):  # also the valid token, and again after a lost answer
            assert await used(session_store, number, NOW) == REUSED
        assert list(await session_store.list(7, at=NOW)) == [a_session(2)]
        assert await used(session_store, 1, NOW, a_session(2)) == rotated(2)

    async def test_a_rotation_that_the_store_lost_is_no_theft(self, session_store: SessionStorePort):
        await session_store.begin(a_session())
        assert await used(session_store, 3, NOW) == rotated(4)
        assert await used(session_store, 4, NOW) == rotated(5)
        assert await used(session_store, 1, NOW) == REUSED

    @pytest.mark.parametrize("gone", [a_session(2), a_session(user_id=8)])
    async def test_a_session_that_is_not_there_has_no_successor(self, session_store: SessionStorePort, gone: Session):
        await session_store.begin(a_session())
        assert await used(session_store, 1, NOW, gone) is None

    async def test_a_session_ends_after_thirty_days_without_use(self, session_store: SessionStorePort):
        await session_store.begin(a_session())
        assert await used(session_store, 1, NOW + IDLE_FOR - MOMENT) == rotated(2)
        over = NOW + 2 * IDLE_FOR - MOMENT
        assert len(await session_store.list(7, at=over - MOMENT)) == 1
        assert list(await session_store.list(7, at=over)) == []
        assert await used(session_store, 2, over) is None

    async def test_a_session_ends_ninety_days_after_its_login(self, session_store: SessionStorePort):
        await session_store.begin(a_session())
        at = NOW
        for number in range(1, 5):
            at += timedelta(days=22)
            assert await used(session_store, number, at) == rotated(number + 1)
        assert await used(session_store, 5, NOW + LONGEST - MOMENT) == rotated(6)
        assert await used(session_store, 6, NOW + LONGEST) is None

    async def test_sessions_are_ended_one_by_one_or_all_but_one(self, session_store: SessionStorePort):
        for number in range(1, 5):
            await session_store.begin(a_session(number, at=NOW + number * MOMENT))
        await session_store.begin(a_session(1, user_id=8))
        await session_store.end(7, a_session(4).id)
        await session_store.end(7, "unknown")
        assert [one.id for one in await session_store.list(7, at=NOW)] == [a_session(one).id for one in (3, 2, 1)]
        await session_store.end_all(7, spared=a_session(2).id)
        assert [one.id for one in await session_store.list(7, at=NOW)] == [a_session(2).id]
        await session_store.end_all(7)
        assert list(await session_store.list(7, at=NOW)) == []
        assert len(await session_store.list(8, at=NOW)) == 1

    async def test_too_many_end_the_one_that_was_not_used_for_longest(self, session_store: SessionStorePort):
        for number in range(1, MOST_SESSIONS + 1):
            await session_store.begin(a_session(number, at=NOW + number * MOMENT))
        await used(session_store, 1, NOW + timedelta(hours=1))
        await session_store.begin(a_session(100, at=NOW))
        ids = [one.id for one in await session_store.list(7, at=NOW)]
        assert len(ids) == MOST_SESSIONS
        assert {a_session(1).id, a_session(100).id} <= {*ids}
        assert a_session(2).id not in ids


class RefreshTokenContract:
    """An implementation's class gives the fixture `refresh_tokens`."""

    def test_a_token_says_what_it_was_issued_for(self, refresh_tokens: RefreshTokenPort):
        assert refresh_tokens.verify(refresh_tokens.issue(CLAIM)) == CLAIM

    def test_the_same_claim_makes_the_same_token(self, refresh_tokens: RefreshTokenPort):
        assert refresh_tokens.issue(CLAIM) == refresh_tokens.issue(CLAIM)
        assert refresh_tokens.issue(CLAIM) != refresh_tokens.issue(replace(CLAIM, number=4))

    def test_no_other_token_is_good(self, refresh_tokens: RefreshTokenPort):
        token = refresh_tokens.issue(CLAIM)
        changed = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token) - 1)]
        for other in (*changed, "", "A", token[:-1], token + "A", "ü" * len(token), "\ud800" * len(token), "=" * 99):
            assert refresh_tokens.verify(other) is None
