"""What every ApiKeyPort promises."""

from datetime import datetime, timedelta

from fitness.domain.model.api_keys import MOST_KEYS, USE_NOTED_EVERY, ApiKey, ApiScope, key_digest
from fitness.ports.api_keys import ApiKeyPort
from fitness.ports.standings import StandingPort
from fitness.ports.users import UserRepoPort
from tests.builders import NOW, a_registration, messages

MOMENT = timedelta(microseconds=1)
UNKNOWN_ID = 2**40


async def an_account(users: UserRepoPort) -> int:
    return (await users.add(a_registration(), password_hash="-", at=NOW)).id


async def added(
    keys: ApiKeyPort, owner: int, key: str = "fit_a", *, at: datetime = NOW, expires_at: datetime | None = None
) -> ApiKey:
    scopes = [ApiScope.ACTIVITIES_READ, ApiScope.PROFILE_READ]
    kept = await keys.add(owner, "backup", scopes, digest=key_digest(key), at=at, expires_at=expires_at)
    assert kept is not None
    return kept


class ApiKeyContract:
    """An implementation's class gives the fixtures `api_keys`, `users` and `standings` over one empty store."""

    async def test_a_key_is_found_by_its_digest_as_it_was_added(self, api_keys: ApiKeyPort, users: UserRepoPort):
        owner = await an_account(users)
        kept = await added(api_keys, owner, expires_at=NOW + MOMENT)
        assert (kept.user_id, kept.name, kept.created_at, kept.last_used_at) == (owner, "backup", NOW, None)
        assert kept.scopes == (ApiScope.ACTIVITIES_READ, ApiScope.PROFILE_READ)
        found = await api_keys.of(key_digest("fit_a"), at=NOW)
        assert found is not None
        assert (found.id, found.scopes, found.expires_at) == (kept.id, kept.scopes, NOW + MOMENT)
        assert await api_keys.of(key_digest("fit_b"), at=NOW) is None

    async def test_an_expired_key_is_not_there(self, api_keys: ApiKeyPort, users: UserRepoPort):
        owner = await an_account(users)
        await added(api_keys, owner, expires_at=NOW + MOMENT)
        assert await api_keys.of(key_digest("fit_a"), at=NOW + MOMENT) is None
        assert len(await api_keys.list(owner, at=NOW)) == 1
        assert list(await api_keys.list(owner, at=NOW + MOMENT)) == []

    async def test_its_use_is_noted_now_and_then(self, api_keys: ApiKeyPort, users: UserRepoPort):
        owner = await an_account(users)
        await added(api_keys, owner)
        for at, noted in [
            (NOW, NOW),
            (NOW + USE_NOTED_EVERY - MOMENT, NOW),
            (NOW + USE_NOTED_EVERY, NOW + USE_NOTED_EVERY),
        ]:
            found = await api_keys.of(key_digest("fit_a"), at=at)
            assert found is not None
            assert found.last_used_at == noted
            assert list(await api_keys.list(owner, at=at)) == [found]

    async def test_a_key_is_revoked_by_its_owner_alone(self, api_keys: ApiKeyPort, users: UserRepoPort):
        owner, other = await an_account(users), await an_account(users)
        kept = await added(api_keys, owner)
        assert not await api_keys.revoke(kept.id, owner=other)
        assert not await api_keys.revoke(UNKNOWN_ID, owner=owner)
        assert await api_keys.revoke(kept.id, owner=owner)
        assert not await api_keys.revoke(kept.id, owner=owner)
        assert await api_keys.of(key_digest("fit_a"), at=NOW) is None

    async def test_keys_are_listed_the_latest_first_until_all_sessions_end(
        self, api_keys: ApiKeyPort, users: UserRepoPort, standings: StandingPort
    ):
        owner = await an_account(users)
        first = await added(api_keys, owner)
        second = await added(api_keys, owner, "fit_b", at=NOW + MOMENT)
        await added(api_keys, await an_account(users), "fit_c")
        assert list(await api_keys.list(owner, at=NOW)) == [second, first]
        await standings.revoke_all(owner, at=NOW + MOMENT, messages=messages())
        assert list(await api_keys.list(owner, at=NOW)) == [second]
        assert await standings.ended(first.caller)
        assert not await standings.ended(second.caller)

    async def test_keys_that_have_expired_or_were_ended_are_not_counted_and_are_forgotten(
        self, api_keys: ApiKeyPort, users: UserRepoPort, standings: StandingPort
    ):
        owner, other = await an_account(users), await an_account(users)
        ended = [await added(api_keys, owner, f"fit_{number}") for number in range(MOST_KEYS)]
        await standings.revoke_all(owner, at=NOW + MOMENT, messages=messages())
        for number in range(MOST_KEYS):
            await added(api_keys, owner, f"fit_e{number}", at=NOW + MOMENT, expires_at=NOW + 2 * MOMENT)
        others = await added(api_keys, other, "fit_o", expires_at=NOW + 2 * MOMENT)
        assert await api_keys.add(owner, "-", [], digest=b"more", at=NOW + MOMENT, expires_at=None) is None
        last = await added(api_keys, owner, "fit_l", at=NOW + 2 * MOMENT)
        assert list(await api_keys.list(owner, at=NOW)) == [last]
        assert not await api_keys.revoke(ended[0].id, owner=owner)
        assert await api_keys.revoke(others.id, owner=other)

    async def test_an_account_has_so_many_keys(self, api_keys: ApiKeyPort, users: UserRepoPort):
        owner = await an_account(users)
        for number in range(MOST_KEYS):
            await added(api_keys, owner, f"fit_{number}")
        assert await api_keys.add(owner, "-", [], digest=b"more", at=NOW, expires_at=None) is None
        assert await api_keys.add(UNKNOWN_ID, "-", [], digest=b"more", at=NOW, expires_at=None) is None
