"""What every CachePort promises."""

import asyncio
from datetime import UTC, date, datetime

from fitness.domain.model.activities import Activity
from fitness.domain.model.listings import Listing, Position
from fitness.ports.cache import CacheKey, CachePort, Hit, Miss, Scope
from tests.builders import an_activity

ANN, BOB = Scope("user", 1), Scope("user", 2)


def key(name: str = "one", scope: Scope = ANN) -> CacheKey[str]:
    return CacheKey(f"{name}:{{{scope.id}}}", "word", scope, 60, str)


class CacheContract:
    """An implementation's class gives the fixture `cache`, empty for each test."""

    async def missed(self, cache: CachePort, key: CacheKey[str]) -> Miss:
        found = await cache.read(key)
        assert isinstance(found, Miss)
        return found

    async def test_nothing_is_found_before_it_is_filled(self, cache: CachePort):
        assert isinstance(await cache.read(key()), Miss)

    async def test_what_is_filled_is_found(self, cache: CachePort):
        await cache.fill(key(), "value", await self.missed(cache, key()))
        assert await cache.read(key()) == Hit("value")

    async def test_a_later_fill_replaces_an_earlier(self, cache: CachePort):
        miss = await self.missed(cache, key())
        await cache.fill(key(), "first", miss)
        await cache.fill(key(), "second", miss)
        assert await cache.read(key()) == Hit("second")

    async def test_a_miss_names_the_same_generation_until_it_changes(self, cache: CachePort):
        first = await self.missed(cache, key())
        assert await self.missed(cache, key("other")) == first
        await cache.invalidate(ANN)
        assert await self.missed(cache, key()) != first

    async def test_many_first_readers_agree_on_one_generation(self, cache: CachePort):
        misses = await asyncio.gather(*(cache.read(key()) for _ in range(20)))
        assert len(set(misses)) == 1

    async def test_an_invalidation_drops_every_copy_in_its_scope(self, cache: CachePort):
        for name in ("one", "two", "three"):
            await cache.fill(key(name), name, await self.missed(cache, key(name)))
        await cache.invalidate(ANN)
        for name in ("one", "two", "three"):
            assert isinstance(await cache.read(key(name)), Miss)

    async def test_an_invalidation_spares_other_scopes(self, cache: CachePort):
        other_kind = Scope("activity", ANN.id)
        for kept in (key("page", BOB), key("activity", other_kind)):
            await cache.fill(kept, "kept", await self.missed(cache, kept))
        await cache.invalidate(ANN)
        assert await cache.read(key("page", BOB)) == Hit("kept")
        assert await cache.read(key("activity", other_kind)) == Hit("kept")

    async def test_several_scopes_are_invalidated_at_once(self, cache: CachePort):
        for scope in (ANN, BOB):
            await cache.fill(key(scope=scope), "old", await self.missed(cache, key(scope=scope)))
        await cache.invalidate(ANN, BOB)
        assert isinstance(await cache.read(key(scope=ANN)), Miss)
        assert isinstance(await cache.read(key(scope=BOB)), Miss)

    async def test_a_copy_loaded_before_an_invalidation_is_never_a_hit(self, cache: CachePort):
        miss = await self.missed(cache, key())
        await cache.invalidate(ANN)
        await cache.fill(key(), "old", miss)
        assert isinstance(await cache.read(key()), Miss)

    async def test_an_old_generation_does_not_come_back(self, cache: CachePort):
        miss = await self.missed(cache, key())
        for _ in range(5):
            await cache.invalidate(ANN)
            await cache.fill(key(), "old", miss)
            assert isinstance(await cache.read(key()), Miss)

    async def test_of_many_who_miss_one_may_load(self, cache: CachePort):
        miss = await self.missed(cache, key())
        claims = await asyncio.gather(*(cache.claim(key(), miss) for _ in range(20)))
        assert claims.count(True) == 1

    async def test_a_claim_is_for_one_copy_under_one_generation(self, cache: CachePort):
        miss = await self.missed(cache, key())
        assert await cache.claim(key(), miss)
        assert await cache.claim(key("other"), miss)
        await cache.invalidate(ANN)
        assert await cache.claim(key(), await self.missed(cache, key()))

    async def test_a_claim_ends_with_the_fill(self, cache: CachePort):
        miss = await self.missed(cache, key())
        assert await cache.claim(key(), miss)
        await cache.fill(key(), "value", miss)
        assert await cache.claim(key(), miss)

    async def test_a_claim_ends_with_being_given_up(self, cache: CachePort):
        miss = await self.missed(cache, key())
        assert await cache.claim(key(), miss)
        await cache.give_up(key(), miss)
        assert await cache.claim(key(), miss)
        assert await cache.read(key()) == miss

    async def test_a_store_has_one_incarnation_while_it_lives(self, cache: CachePort):
        assert await cache.incarnation() == await cache.incarnation() != ""

    async def test_a_domain_object_comes_back_equal(self, cache: CachePort):
        kept = an_activity(title="Höhenweg ☀", tags=("a", "b"), distance_km=0.0, timezone="Asia/Kathmandu")
        activity_key = CacheKey("activity:{1}", "activity", ANN, 60, Activity)
        found = await cache.read(activity_key)
        assert isinstance(found, Miss)
        await cache.fill(activity_key, kept, found)
        hit = await cache.read(activity_key)
        assert hit == Hit(kept)
        assert isinstance(hit, Hit)
        assert isinstance(hit.value.local_date, date)
        assert hit.value.activity_date.tzinfo is not None

    async def test_a_page_of_domain_objects_comes_back_equal(self, cache: CachePort):
        page = Listing((an_activity(), an_activity(notes="two")), 12, Position(datetime(2026, 1, 1, tzinfo=UTC), 3))
        page_key = CacheKey("page:{1}", "listing", ANN, 60, Listing[Activity])
        found = await cache.read(page_key)
        assert isinstance(found, Miss)
        await cache.fill(page_key, page, found)
        assert await cache.read(page_key) == Hit(page)
