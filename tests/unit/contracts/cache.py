"""What every CachePort promises."""

import asyncio
import json
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from fitness.domain.model.activities import Activity
from fitness.domain.model.listings import Listing, Position
from fitness.ports.cache import CacheKey, CachePort, Era, Hit, Miss, Scope
from fitness.ports.outages import CacheUnavailable
from tests.builders import an_activity
from tests.unit.contracts.replies import replied

ANN, BOB = Scope("user", 1), Scope("user", 2)


def key(name: str = "one", scope: Scope = ANN) -> CacheKey[str]:
    return CacheKey(f"{name}:{{{scope.id}}}", scope, 60, str, "test")


class CacheContract:
    """An implementation's class gives the fixture `cache`, empty for each test."""

    @pytest.fixture
    async def era(self, cache: CachePort) -> Era:
        return Era(await cache.run_id(), "era")

    async def missed(self, cache: CachePort, era: Era, key: CacheKey[str]) -> Miss:
        found = await cache.read(key, era)
        assert isinstance(found, Miss)
        return found

    async def test_nothing_is_found_before_it_is_filled(self, cache: CachePort, era: Era):
        assert isinstance(await cache.read(key(), era), Miss)

    async def test_what_is_filled_is_found(self, cache: CachePort, era: Era):
        await cache.fill(key(), "value", await self.missed(cache, era, key()))
        assert await cache.read(key(), era) == Hit("value")

    async def test_a_peek_finds_each_copy_as_its_json_text(self, cache: CachePort, era: Era):
        for one in (key("one"), key("two"), key("page", BOB)):
            await cache.fill(one, f"value of {one.name}", await self.missed(cache, era, one))
        asked = (key("two"), key("page", BOB), key("one"))
        assert await cache.peek(era, *asked) == [json.dumps(f"value of {one.name}").encode() for one in asked]

    async def test_a_peek_makes_no_generation(self, cache: CachePort, era: Era):
        assert await cache.peek(era, key(), key("page", BOB)) == [None, None]
        miss = await self.missed(cache, era, key())
        assert await cache.peek(era, key(), key("page", BOB)) == [miss, None]

    async def test_a_peek_misses_what_is_invalid(self, cache: CachePort, era: Era):
        await cache.fill(key(), "old", await self.missed(cache, era, key()))
        await cache.invalidate(era, ANN)
        (found,) = await cache.peek(era, key())
        assert found == await self.missed(cache, era, key())
        assert isinstance(found, Miss)
        await cache.fill(key(), "new", found)
        assert await cache.read(key(), era) == Hit("new")

    async def test_the_text_of_an_activity_and_of_a_page_is_what_a_client_is_sent(self, cache: CachePort, era: Era):
        activity = an_activity(notes="hills")
        page = Listing((activity,), 1, Position(activity.activity_date, 7))
        for name, value, holds in (("one", activity, Activity), ("page", page, Listing[Activity])):
            one: CacheKey[Any] = CacheKey(f"{name}:{{1}}", ANN, 60, holds, "test")
            await cache.fill(one, value, await self.missed(cache, era, one))
            (text,) = await cache.peek(era, one)
            assert text == msgspec.json.encode(value)
            assert await cache.read(one, era) == Hit(value)

    async def test_a_peek_at_another_server_is_refused(self, cache: CachePort, era: Era):
        with pytest.raises(CacheUnavailable):
            await cache.peek(Era("another", era.name), key())

    async def test_a_peek_soon_finds_what_a_peek_finds(self, cache: CachePort, era: Era):
        await cache.fill(key(), "old", await self.missed(cache, era, key()))
        asked = (key(), key("other"), key("page", BOB))
        reply = cache.peek_soon(era, *asked)
        if reply is None:  # where it takes more than one question
            return
        assert [*await replied(reply)] == [*await cache.peek(era, *asked)]
        await cache.invalidate(era, ANN)
        later = cache.peek_soon(era, *asked)
        assert later is not None
        assert [*await replied(later)] == [*await cache.peek(era, *asked)]

    async def test_a_peek_soon_at_another_server_finds_nothing(self, cache: CachePort, era: Era):
        reply = cache.peek_soon(Era("another", era.name), key())
        if reply is not None:
            with pytest.raises(CacheUnavailable):
                await replied(reply)

    async def test_a_scope_that_nobody_knows_gets_its_first_generation_once(self, cache: CachePort, era: Era):
        begun = await cache.begin(key(), era)
        assert begun is not None
        assert await cache.begin(key("other"), era) is None
        assert await self.missed(cache, era, key()) == begun
        await cache.fill(key(), "made since", begun)
        assert await cache.read(key(), era) == Hit("made since")

    async def test_what_was_begun_before_an_invalidation_is_never_a_hit(self, cache: CachePort, era: Era):
        begun = await cache.begin(key(), era)
        assert begun is not None
        await cache.invalidate(era, ANN)
        await cache.fill(key(), "old", begun)
        assert isinstance(await cache.read(key(), era), Miss)

    async def test_a_later_fill_replaces_an_earlier(self, cache: CachePort, era: Era):
        miss = await self.missed(cache, era, key())
        await cache.fill(key(), "first", miss)
        await cache.fill(key(), "second", miss)
        assert await cache.read(key(), era) == Hit("second")

    async def test_a_miss_names_the_same_generation_until_it_changes(self, cache: CachePort, era: Era):
        first = await self.missed(cache, era, key())
        assert await self.missed(cache, era, key("other")) == first
        await cache.invalidate(era, ANN)
        assert await self.missed(cache, era, key()) != first

    async def test_many_first_readers_agree_on_one_generation(self, cache: CachePort, era: Era):
        misses = await asyncio.gather(*(cache.read(key(), era) for _ in range(20)))
        assert len(set(misses)) == 1

    async def test_an_invalidation_drops_every_copy_in_its_scope(self, cache: CachePort, era: Era):
        for name in ("one", "two", "three"):
            await cache.fill(key(name), name, await self.missed(cache, era, key(name)))
        await cache.invalidate(era, ANN)
        for name in ("one", "two", "three"):
            assert isinstance(await cache.read(key(name), era), Miss)

    async def test_an_invalidation_spares_other_scopes(self, cache: CachePort, era: Era):
        other_kind = Scope("activity", ANN.id)
        for kept in (key("page", BOB), key("activity", other_kind)):
            await cache.fill(kept, "kept", await self.missed(cache, era, kept))
        await cache.invalidate(era, ANN)
        assert await cache.read(key("page", BOB), era) == Hit("kept")
        assert await cache.read(key("activity", other_kind), era) == Hit("kept")

    async def test_several_scopes_are_invalidated_at_once(self, cache: CachePort, era: Era):
        for scope in (ANN, BOB):
            await cache.fill(key(scope=scope), "old", await self.missed(cache, era, key(scope=scope)))
        await cache.invalidate(era, ANN, BOB)
        assert isinstance(await cache.read(key(scope=ANN), era), Miss)
        assert isinstance(await cache.read(key(scope=BOB), era), Miss)

    async def test_a_copy_loaded_before_an_invalidation_is_never_a_hit(self, cache: CachePort, era: Era):
        miss = await self.missed(cache, era, key())
        await cache.invalidate(era, ANN)
        await cache.fill(key(), "old", miss)
        assert isinstance(await cache.read(key(), era), Miss)

    async def test_an_old_generation_does_not_come_back(self, cache: CachePort, era: Era):
        miss = await self.missed(cache, era, key())
        for _ in range(5):
            await cache.invalidate(era, ANN)
            await cache.fill(key(), "old", miss)
            assert isinstance(await cache.read(key(), era), Miss)

    async def test_of_many_who_miss_one_may_load(self, cache: CachePort, era: Era):
        miss = await self.missed(cache, era, key())
        claims = await asyncio.gather(*(cache.claim(key(), miss) for _ in range(20)))
        assert claims.count(True) == 1

    async def test_a_claim_is_for_one_copy_under_one_generation(self, cache: CachePort, era: Era):
        miss = await self.missed(cache, era, key())
        assert await cache.claim(key(), miss)
        assert await cache.claim(key("other"), miss)
        await cache.invalidate(era, ANN)
        assert await cache.claim(key(), await self.missed(cache, era, key()))

    async def test_a_claim_ends_with_the_fill(self, cache: CachePort, era: Era):
        miss = await self.missed(cache, era, key())
        assert await cache.claim(key(), miss)
        await cache.fill(key(), "value", miss)
        assert await cache.claim(key(), miss)

    async def test_a_claim_ends_with_being_given_up(self, cache: CachePort, era: Era):
        miss = await self.missed(cache, era, key())
        assert await cache.claim(key(), miss)
        await cache.give_up(key(), miss)
        assert await cache.claim(key(), miss)
        assert await cache.read(key(), era) == miss

    async def test_nothing_of_another_era_is_ever_found(self, cache: CachePort, era: Era):
        later = era._replace(name="later")
        await cache.fill(key(), "value", await self.missed(cache, era, key()))
        assert isinstance(await cache.read(key(), later), Miss)
        await cache.invalidate(later, ANN)
        assert await cache.read(key(), era) == Hit("value")

    async def test_what_another_server_would_have_to_answer_is_an_outage(self, cache: CachePort, era: Era):
        another = era._replace(run_id="another")
        with pytest.raises(CacheUnavailable):
            await cache.read(key(), another)
        with pytest.raises(CacheUnavailable):
            await cache.invalidate(another, ANN)
        with pytest.raises(CacheUnavailable):
            await cache.fill(key(), "value", Miss(b"x" * 12, another))

    async def test_after_looking_for_the_server_anew_it_is_the_same_one(self, cache: CachePort, era: Era):
        await cache.reconnect()
        assert await cache.run_id() == era.run_id

    async def test_a_server_has_one_run_id_while_it_runs(self, cache: CachePort, era: Era):
        assert await cache.run_id() == await cache.run_id() != ""

    async def test_a_domain_object_comes_back_equal(self, cache: CachePort, era: Era):
        kept = an_activity(title="Höhenweg ☀", tags=("a", "b"), distance_km=0.0, timezone="Asia/Kathmandu")
        activity_key = CacheKey("activity:{1}", ANN, 60, Activity, "activity")
        found = await cache.read(activity_key, era)
        assert isinstance(found, Miss)
        await cache.fill(activity_key, kept, found)
        hit = await cache.read(activity_key, era)
        assert hit == Hit(kept)
        assert isinstance(hit, Hit)
        assert isinstance(hit.value.local_date, date)
        assert hit.value.activity_date.tzinfo is not None

    @pytest.mark.parametrize("value", [datetime(2026, 1, 1, tzinfo=UTC), 7.0, None])
    async def test_a_page_of_domain_objects_comes_back_equal(
        self, cache: CachePort, era: Era, value: datetime | float | None
    ):
        page = Listing((an_activity(), an_activity(notes="two")), 12, Position(value, 3))
        page_key = CacheKey("page:{1}", ANN, 60, Listing[Activity], "listing")
        found = await cache.read(page_key, era)
        assert isinstance(found, Miss)
        await cache.fill(page_key, page, found)
        assert await cache.read(page_key, era) == Hit(page)
