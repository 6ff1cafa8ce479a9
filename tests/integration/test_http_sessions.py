"""Sessions as clients have them: carried on by refresh tokens, ended by their owner, a thief's reuse, or time."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from dependency_injector import providers

from fitness.adapters.memory.clock import ManualClock
from tests.harness.api import NOWHERE_REDIS, Api, Person, Stores, serving

READS = ("/activities", "/users/me", "/rate-limit")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def timed_api(stores: Stores, clock: ManualClock) -> AsyncIterator[Api]:
    """On a clock that is moved by hand."""
    prepare = lambda container: container.clock.override(providers.Object(clock))  # noqa: E731
    async with serving(stores.database_url, stores.redis_url, prepare=prepare) as api:
        yield api


async def refreshed(api: Api, token: str) -> httpx.Response:
    return await api.http.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def carried_on(api: Api, person: Person) -> Person:
    answer = await refreshed(api, person.refresh_token)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return replace(person, token=body["access_token"], refresh_token=body["refresh_token"])


async def assert_ended(api: Api, person: Person) -> None:
    for path in READS:
        for _ in range(2):
            assert (await person.get(path)).status_code == 401, path
    assert (await refreshed(api, person.refresh_token)).status_code == 401


async def assert_lives(api: Api, person: Person) -> None:
    for path in READS:
        assert (await person.get(path)).status_code == 200, path
    assert (await refreshed(api, person.refresh_token)).status_code == 200


async def warmed(*people: Person) -> None:
    """Until everything is cached and answered the short way."""
    for person in people:
        for path in READS * 2:
            assert (await person.get(path)).status_code == 200


class TestRefresh:
    async def test_it_gives_the_next_tokens(self, api: Api, ann: Person):
        answer = await refreshed(api, ann.refresh_token)
        body = answer.json()
        assert body.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
        assert body["refresh_token"] != ann.refresh_token
        assert answer.headers["cache-control"] == "no-store"
        await assert_lives(api, replace(ann, token=body["access_token"], refresh_token=body["refresh_token"]))

    async def test_two_hundred_at_once_get_one_successor(self, api: Api, ann: Person):
        answers = await asyncio.gather(*(refreshed(api, ann.refresh_token) for _ in range(200)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["refresh_token"] for answer in answers}) == 1

    async def test_a_lost_answer_is_given_again(self, timed_api: Api, clock: ManualClock):
        ann = await timed_api.person()
        lost = (await refreshed(timed_api, ann.refresh_token)).json()
        clock.advance(timedelta(seconds=45))
        again = (await refreshed(timed_api, ann.refresh_token)).json()
        assert again["refresh_token"] == lost["refresh_token"]

    async def test_an_older_token_ends_the_session_at_once_and_is_logged(
        self, api: Api, ann: Person, caplog: pytest.LogCaptureFixture
    ):
        other = await api.login(ann.id, ann.email)
        later = await carried_on(api, await carried_on(api, ann))
        await warmed(later, other)
        with caplog.at_level(logging.WARNING):
            thief = await refreshed(api, ann.refresh_token)
        assert (thief.status_code, thief.json()["code"]) == (401, "bad_refresh_token")
        assert "old refresh token" in caplog.text
        assert ann.refresh_token not in caplog.text
        await assert_ended(api, later)
        await assert_lives(api, other)

    async def test_a_token_is_old_a_minute_after_its_use(self, timed_api: Api, clock: ManualClock):
        ann = await timed_api.person()
        later = await carried_on(timed_api, ann)
        clock.advance(timedelta(seconds=61))
        assert (await refreshed(timed_api, ann.refresh_token)).status_code == 401
        await assert_ended(timed_api, later)

    async def test_a_session_lasts_thirty_days_without_use_and_ninety_with(self, timed_api: Api, clock: ManualClock):
        ann, bob = await timed_api.person(), await timed_api.person()
        for _ in range(3):
            clock.advance(timedelta(days=29))
            ann = await carried_on(timed_api, ann)
        assert (await refreshed(timed_api, bob.refresh_token)).status_code == 401
        clock.advance(timedelta(days=3))
        assert (await refreshed(timed_api, ann.refresh_token)).status_code == 401

    @pytest.mark.parametrize("token", ["", "x", "\u0000", "x" * 99, "x" * 100_000])
    async def test_no_other_token_is_good(self, api: Api, token: str):
        answer = await refreshed(api, token)
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_refresh_token")
        assert answer.headers["www-authenticate"] == "Bearer"

    async def test_neither_kind_of_token_passes_for_the_other(self, api: Api, ann: Person):
        assert (await refreshed(api, ann.token)).status_code == 401
        assert (await replace(ann, token=ann.refresh_token).get("/users/me")).status_code == 401


class TestEnding:
    async def test_a_logout_ends_this_session_alone(self, api: Api, ann: Person):
        other = await api.login(ann.id, ann.email)
        await warmed(ann, other)
        assert (await ann.post("/auth/logout")).status_code == 204
        await assert_ended(api, ann)
        await assert_lives(api, other)

    async def test_a_logout_everywhere_ends_every_session_of_the_account(self, api: Api, ann: Person, bob: Person):
        other = await api.login(ann.id, ann.email)
        await warmed(ann, other, bob)
        assert (await ann.post("/auth/logout-all")).status_code == 204
        await assert_ended(api, ann)
        await assert_ended(api, other)
        await assert_lives(api, bob)
        await assert_lives(api, await api.login(ann.id, ann.email))

    async def test_sessions_are_listed_and_ended_one_by_one(self, api: Api, ann: Person, bob: Person):
        elsewhere = api.seen_from("203.0.113.77")
        elsewhere.http.headers["User-Agent"] = "Phone \x07ü 1.0"
        phone = await elsewhere.login(ann.id, ann.email)
        await warmed(ann, phone)
        items = (await ann.get("/auth/sessions")).json()["items"]
        assert [(one["device"], one["current"]) for one in items] == [("Phone  1.0", False), (items[1]["device"], True)]
        assert items[0]["address"] == "203.0.113.0/24"
        path = f"/auth/sessions/{items[0]['id']}"
        assert (await bob.delete(path)).status_code == 404
        assert (await ann.delete(path)).status_code == 204
        await assert_ended(api, phone)
        await assert_lives(api, ann)
        again = await ann.delete(path)
        assert (again.status_code, again.json()["code"]) == (404, "session_not_found")
        assert [one["current"] for one in (await ann.get("/auth/sessions")).json()["items"]] == [True]

    async def test_it_holds_for_a_refresh_that_was_under_way(self, api: Api, ann: Person):
        both = [refreshed(api, ann.refresh_token) for _ in range(20)]
        answers = await asyncio.gather(*both, ann.post("/auth/logout-all"))
        for answer in answers[:-1]:
            if answer.status_code == 200:
                assert (await replace(ann, token=answer.json()["access_token"]).get("/users/me")).status_code == 401
        assert (await ann.get("/users/me")).status_code == 401


@pytest.mark.engines
class TestWithoutTheStateRedis:
    @pytest.fixture(params=[0.0, 1.0], ids=["without limits", "with limits"])
    async def broken(self, stores: Stores, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
        async with serving(stores.database_url, NOWHERE_REDIS, rate_limit_scale=request.param) as api:
            yield api

    async def test_access_tokens_go_on_and_refreshes_wait(self, stores: Stores, broken: Api):
        async with serving(stores.database_url, stores.redis_url) as whole:
            ann = await whole.person()
            elsewhere = replace(ann, http=broken.http)
            assert (await elsewhere.get("/users/me")).status_code == 200
            answer = await refreshed(broken, ann.refresh_token)
            assert (answer.status_code, answer.json()["code"]) == (503, "sessions_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert (await elsewhere.get("/auth/sessions")).status_code == 503
            await assert_lives(whole, ann)

    async def test_what_is_revoked_now_holds_now_and_after(self, stores: Stores, broken: Api):
        async with serving(stores.database_url, stores.redis_url) as whole:
            for path in ("/auth/logout", "/auth/logout-all"):
                ann = await whole.person()
                await warmed(ann)
                assert (await replace(ann, http=broken.http).post(path)).status_code == 204
                assert (await replace(ann, http=broken.http).get("/users/me")).status_code == 401
                await assert_ended(whole, ann)

    async def test_a_login_gives_an_access_token_alone(self, broken: Api):
        ann = await broken.person()
        assert ann.refresh_token == ""
        assert (await ann.get("/users/me")).status_code == 200


@pytest.mark.engines
async def test_what_is_revoked_holds_on_another_process(stores: Stores):
    there_and_here = serving(stores.database_url, stores.redis_url), serving(stores.database_url, stores.redis_url)
    async with there_and_here[0] as one, there_and_here[1] as other:
        ann = await one.person()
        there = replace(ann, http=other.http)
        for _ in range(5):
            await warmed(ann, there)
            session = await one.login(ann.id, ann.email)
            moved = replace(session, http=other.http)
            await warmed(moved)
            assert (await session.post("/auth/logout")).status_code == 204
            assert (await moved.get("/activities")).status_code == 401
            assert (await there.get("/activities")).status_code == 200
