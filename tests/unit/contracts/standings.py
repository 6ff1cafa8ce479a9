"""What every StandingPort promises."""

from datetime import timedelta

from fitness.domain.model.audit import Authority
from fitness.domain.model.sessions import microseconds
from fitness.domain.model.users import NOBODY, Caller, Role, Standing, Tier
from fitness.ports.cache import Scope
from fitness.ports.outbox import OutboxPort, PendingInvalidation
from fitness.ports.standings import REVOCATIONS_TOLD_FOR, StandingPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, messages

MOMENT = timedelta(microseconds=1)
UNKNOWN_ID = 2**40
STALE = Scope("account", 1)
PLAIN = Standing(tier=Tier.FREE, role=Role.USER, not_before_us=0, spared=None, revoked=())


async def an_account(users: UserRepoPort) -> int:
    return (await users.add(a_registration(), password_hash="-", at=NOW)).id


class StandingContract:
    """An implementation's class gives the fixtures `standings`, `users` and `outbox` over one empty store."""

    async def test_of_nobody_there_is_nobodys(self, standings: StandingPort):
        assert await standings.of(UNKNOWN_ID, at=NOW) == NOBODY
        assert await standings.ended(Caller(UNKNOWN_ID, "a"))

    async def test_of_an_account_it_is_tier_and_role(self, standings: StandingPort, users: UserRepoPort):
        user_id = await an_account(users)
        assert await standings.of(user_id, at=NOW) == PLAIN
        paid = messages(authority=Authority(actor_id=None, at=NOW, reason="-"))
        await users.set_standing(user_id, tier=Tier.PREMIUM, role=Role.ADMIN, messages=paid)
        standing = await standings.of(user_id, at=NOW)
        assert (standing.tier, standing.role) == (Tier.PREMIUM, Role.ADMIN)
        assert not await standings.ended(Caller(user_id, "a"))

    async def test_a_revoked_session_is_told_of_while_its_tokens_live_and_stays_ended(
        self, standings: StandingPort, users: UserRepoPort
    ):
        user_id, other_id = await an_account(users), await an_account(users)
        for session_id in ("b", "a", "B"):
            assert await standings.revoke(user_id, session_id, at=NOW, messages=messages())
        last = NOW + REVOCATIONS_TOLD_FOR
        assert (await standings.of(user_id, at=last - MOMENT)).revoked == ("B", "a", "b")
        assert await standings.of(user_id, at=last) == PLAIN
        assert await standings.of(other_id, at=NOW) == PLAIN
        assert [await standings.ended(Caller(user_id, one)) for one in ("a", "b", "c")] == [True, True, False]
        assert not await standings.ended(Caller(other_id, "a"))

    async def test_a_session_may_be_revoked_twice(self, standings: StandingPort, users: UserRepoPort):
        user_id = await an_account(users)
        for _ in range(2):
            assert await standings.revoke(user_id, "a", at=NOW, messages=messages())
        assert (await standings.of(user_id, at=NOW)).revoked == ("a",)

    async def test_all_that_began_before_have_ended_but_the_spared_one(
        self, standings: StandingPort, users: UserRepoPort
    ):
        user_id = await an_account(users)
        assert await standings.revoke_all(user_id, at=NOW, spared="a", messages=messages())
        standing = await standings.of(user_id, at=NOW)
        assert (standing.not_before_us, standing.spared) == (microseconds(NOW), "a")
        before, after = microseconds(NOW - MOMENT), microseconds(NOW)
        for caller, ended in [
            (Caller(user_id, "a", before), False),
            (Caller(user_id, "b", before), True),
            (Caller(user_id, "b", after), False),
        ]:
            assert await standings.ended(caller) is ended
            assert standing.refuses(caller) is ended
        await standings.revoke_all(user_id, at=NOW, messages=messages())
        assert await standings.ended(Caller(user_id, "a", before))

    async def test_what_ends_sessions_writes_its_invalidations(
        self, standings: StandingPort, users: UserRepoPort, outbox: OutboxPort
    ):
        user_id = await an_account(users)
        for known, written in ((UNKNOWN_ID, 0), (user_id, 2)):
            one, all_of_them = messages(STALE), messages(STALE)
            assert await standings.revoke(known, "a", at=NOW, messages=one) is (written > 0)
            assert await standings.revoke_all(known, at=NOW, messages=all_of_them) is (written > 0)
            wanted = [PendingInvalidation(sent.id, (STALE,)) for sent in (one, all_of_them)]
            assert sorted(await outbox.pending(), key=lambda entry: entry.id) == wanted[:written]
