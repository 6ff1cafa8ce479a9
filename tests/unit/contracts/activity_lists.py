"""What every ActivityRepoPort promises about its lists: filters, orders, pages and totals."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from fitness.domain.model.activities import Activity, ActivityType, revised
from fitness.domain.model.listings import MAX_COUNTED, ActivityFilter, Listing, Page, Range, Sort, position_of
from fitness.domain.model.text import folded
from fitness.domain.model.users import User
from fitness.ports.activities import ActivityRepoPort
from fitness.ports.users import UserRepoPort
from tests.builders import LUNCH, NOW, a_registration, an_activity
from tests.unit.contracts.activities import EVERYTHING, LATER, add, add_all, soft_delete, update

# 23:00 UTC on New Year's Eve is the next day in Paris and the same in New York.
EVE = datetime.fromisoformat("2024-12-31T23:00Z")
LONG_NOTES = "word " * 1_900
LONG_TAGS = tuple(f"{number:02}" + "é" * 48 for number in range(18))


def words(*given: str) -> ActivityFilter:
    return ActivityFilter(words=tuple(folded(word) for word in given))


class ActivityListContract:
    """An implementation's class gives the fixtures `repo` and `users` over one store, which is new for each test."""

    @pytest.fixture
    async def owner(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    @pytest.fixture
    async def stranger(self, users: UserRepoPort) -> User:
        return await users.add(a_registration(), password_hash="-", at=NOW)

    async def test_a_list_is_newest_first_and_ties_fall_by_id(self, repo: ActivityRepoPort, owner: User):
        hours = [2, 5, 2, 9, 2]
        added = [
            (await add(repo, an_activity(user_id=owner.id, activity_date=LUNCH - timedelta(hours=hour)))).activity
            for hour in hours
        ]
        found = await repo.list(owner.id, EVERYTHING, Page())
        assert found.items == tuple(sorted(added, key=lambda one: (one.activity_date, one.id), reverse=True))
        assert (found.total, found.next) == (5, None)

    async def test_a_list_holds_ones_own_live_ones_alone(self, repo: ActivityRepoPort, owner: User, stranger: User):
        mine = (await add(repo, an_activity(user_id=owner.id))).activity
        deleted = (await add(repo, an_activity(user_id=owner.id))).activity
        await add(repo, an_activity(user_id=stranger.id))
        await soft_delete(repo, deleted.id, owner=owner.id, at=LATER)
        assert await repo.list(owner.id, EVERYTHING, Page()) == Listing((mine,), 1, None)

    async def test_a_page_past_the_end_is_empty_and_knows_the_total(self, repo: ActivityRepoPort, owner: User):
        await add(repo, an_activity(user_id=owner.id))
        assert await repo.list(owner.id, EVERYTHING, Page(number=5, limit=10)) == Listing((), 1, None)
        assert await repo.list(owner.id, words("none"), Page()) == Listing((), 0, None)

    async def test_a_full_last_page_leads_nowhere(self, repo: ActivityRepoPort, owner: User):
        for _ in range(4):
            await add(repo, an_activity(user_id=owner.id))
        first = await repo.list(owner.id, EVERYTHING, Page(number=1, limit=2))
        assert first.next is not None
        assert (await repo.list(owner.id, EVERYTHING, Page(number=2, limit=2))).next is None

    # Totals

    @pytest.mark.parametrize("which", [EVERYTHING, words("hills"), ActivityFilter(sort=Sort.LONGEST)])
    async def test_a_list_is_counted_only_where_that_is_asked_for(
        self, repo: ActivityRepoPort, owner: User, which: ActivityFilter
    ):
        await add_all(repo, [an_activity(user_id=owner.id, title="hills") for _ in range(3)])
        counted = await repo.list(owner.id, which, Page(limit=2))
        assert counted.total == 3
        assert await repo.list(owner.id, which, Page(limit=2, counted=False)) == replace(counted, total=None)
        further = await repo.list(owner.id, which, Page(limit=2, after=counted.next))
        assert (len(further.items), further.total) == (1, 3)
        assert (await repo.list(owner.id, which, Page(limit=2, after=counted.next, counted=False))).total is None

    @pytest.mark.parametrize("which", [EVERYTHING, words("hills"), ActivityFilter(sort=Sort.LONGEST)])
    async def test_a_total_is_exact_up_to_10_000_and_unknown_beyond(
        self, many: ActivityRepoPort, owner: User, which: ActivityFilter
    ):
        last = await many.list(owner.id, which, Page(number=100, limit=100))
        assert (len(last.items), last.total, last.next) == (100, MAX_COUNTED, None)
        await add(many, an_activity(user_id=owner.id, title="hills"))
        last = await many.list(owner.id, which, Page(number=100, limit=100))
        assert (len(last.items), last.total) == (100, None)
        assert last.next is not None
        assert len((await many.list(owner.id, which, Page(after=last.next))).items) == 1

    @pytest.fixture
    async def many(self, repo: ActivityRepoPort, owner: User) -> ActivityRepoPort:
        """MAX_COUNTED activities of the owner are in the store."""
        for _ in range(100):
            await add_all(repo, [an_activity(user_id=owner.id, title="hills") for _ in range(MAX_COUNTED // 100)])
        return repo

    # Filters

    @pytest.mark.parametrize(
        ("which", "titles"),
        [
            (ActivityFilter(activity_types=(ActivityType.RIDE,)), ["ride"]),
            (ActivityFilter(activity_types=(ActivityType.RIDE, ActivityType.YOGA)), ["ride", "yoga"]),
            (ActivityFilter(activity_types=(ActivityType.SWIM,)), []),
            (ActivityFilter(since=date(2024, 12, 31)), ["paris", "ride", "yoga"]),
            (ActivityFilter(since=date(2025, 1, 1)), ["paris", "ride"]),
            (ActivityFilter(until=date(2024, 12, 31)), ["old", "yoga"]),
            (ActivityFilter(since=date(2025, 1, 1), until=date(2025, 1, 1)), ["paris"]),
            (ActivityFilter(since=date.min, until=date.max), ["old", "paris", "ride", "yoga"]),
            (ActivityFilter(since=date.max), []),
            (ActivityFilter(until=date.min), []),
            (ActivityFilter(since=EVE), ["paris", "ride", "yoga"]),
            (ActivityFilter(since=EVE + timedelta(microseconds=1)), ["ride", "yoga"]),
            (ActivityFilter(until=EVE), ["old"]),
            (ActivityFilter(tags=("hills",)), ["old", "ride"]),
            (ActivityFilter(tags=("hills", "race")), ["ride"]),
            (ActivityFilter(tags=("hill",)), []),
            (ActivityFilter(tags=("h_lls",)), []),
            (ActivityFilter(excluded_tags=("race",)), ["old", "paris", "yoga"]),
            (ActivityFilter(excluded_tags=("race", "hills")), ["paris", "yoga"]),
            (ActivityFilter(tags=("hills",), excluded_tags=("race",)), ["old"]),
            (ActivityFilter(distance_km=Range(10.0)), ["old", "ride"]),
            (ActivityFilter(distance_km=Range(None, 10.0)), ["old", "paris"]),
            (ActivityFilter(distance_km=Range(10.0, 10.0)), ["old"]),
            (ActivityFilter(distance_km=Range(0.0, 2_000.0)), ["old", "paris", "ride"]),
            (ActivityFilter(duration_minutes=Range(45.0, 60.0)), ["ride", "yoga"]),
            (ActivityFilter(duration_minutes=Range(None, 44.999)), ["old", "paris"]),
            (ActivityFilter(activity_types=(ActivityType.RUN,), distance_km=Range(5.0)), ["old"]),
            (replace(words("cool"), activity_types=(ActivityType.RUN,)), ["old"]),
            (replace(words("cool"), tags=("race",)), []),
        ],
    )
    async def test_a_filter_narrows_the_list(
        self, repo: ActivityRepoPort, owner: User, which: ActivityFilter, titles: list[str]
    ):
        added: Sequence[Activity] = [
            an_activity(user_id=owner.id, title="paris", activity_date=EVE, timezone="Europe/Paris", distance_km=0.0),
            an_activity(
                user_id=owner.id,
                title="yoga",
                activity_type=ActivityType.YOGA,
                activity_date=EVE + timedelta(hours=1),
                timezone="America/New_York",
                duration_minutes=60.0,
            ),
            an_activity(
                user_id=owner.id,
                title="ride",
                activity_type=ActivityType.RIDE,
                activity_date=EVE + timedelta(days=3),
                tags=("hills", "race"),
                duration_minutes=45.0,
                distance_km=80.5,
            ),
            an_activity(
                user_id=owner.id,
                title="old",
                activity_date=EVE - timedelta(days=30),
                tags=("hills",),
                notes="cool",
                distance_km=10.0,
            ),
        ]
        await add_all(repo, added)
        found = await repo.list(owner.id, which, Page())
        assert sorted(str(one.title) for one in found.items) == titles
        assert found.total == len(titles)

    @pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Manila", "America/Juneau"])
    async def test_a_local_day_is_found_however_far_its_zone_is_from_utc(
        self, repo: ActivityRepoPort, owner: User, zone: str
    ):
        for day in range(1, 6):
            for hour in (0, 11, 12, 23):
                at = datetime(1971, 3, day, hour, 30, tzinfo=UTC)
                await add(repo, an_activity(user_id=owner.id, activity_date=at, timezone=zone))
        whole = (await repo.list(owner.id, EVERYTHING, Page())).items
        for day in range(1, 6):
            one = date(1971, 3, day)
            found = await repo.list(owner.id, ActivityFilter(since=one, until=one), Page())
            assert found.items == tuple(each for each in whole if each.local_date == one)

    @pytest.mark.parametrize(
        ("given", "found"),
        [
            (["hills"], True),
            (["HILL"], True),
            (["wind", "hills"], True),
            (["hills", "snow"], False),
            (["cafe", "d'ete"], True),
            (["CAFÉ", "D’ÉTÉ"], True),
            (["strasse"], True),
            (["Straße"], True),
            (["lodz", "oresund", "daegu"], False),
            (["lodz", "oresund"], True),
            (["ædle"], True),
            (["aedle"], True),
            (["50%_o"], True),
            (["5__"], False),
            (["%"], True),
            (["b\\c"], True),
            (["b\\\\c"], False),
            (["a", "é"], True),
            (["q"], False),
            (["跑步"], True),
            (["跑"], True),
            (["か"], True),
            (["istanbul"], True),
            (["σασ"], True),
        ],
    )
    async def test_words_are_found_in_any_order_case_and_accent(
        self, repo: ActivityRepoPort, owner: User, given: list[str], found: bool
    ):
        title = "Hills of Łódź, Øresund, İstanbul 跑步"
        notes = "Café d’été\nstrong Wind in the STRASSE, 50%_of it ædle b\\c が ΣΑΣ"
        assert (await self.finds(repo, owner, title, notes, given)) is found

    async def test_no_word_is_found_across_title_and_notes(self, repo: ActivityRepoPort, owner: User):
        assert not await self.finds(repo, owner, "sun", "rise", ["sunrise"])
        assert await self.finds(repo, owner, "sun", "rise", ["rise", "sun"])

    async def test_words_are_found_in_the_longest_notes(self, repo: ActivityRepoPort, owner: User):
        assert not await self.finds(repo, owner, "Höhe", LONG_NOTES, ["schluss"])
        assert await self.finds(repo, owner, "Höhe", LONG_NOTES + "Schluß", ["schluss", "hohe"])

    async def test_the_longest_tags_are_found_and_excluded(self, repo: ActivityRepoPort, owner: User):
        await add(repo, an_activity(user_id=owner.id, title="many", tags=(*LONG_TAGS, "last")))
        odd = replace(an_activity(user_id=owner.id, title="odd"), tags=("a\x1fb",))  # older than the rule against them
        await add(repo, odd)
        for which, titles in [
            (ActivityFilter(tags=(LONG_TAGS[0], "last")), ["many"]),
            (ActivityFilter(tags=("last", "absent")), []),
            (ActivityFilter(excluded_tags=("absent", "last")), ["odd"]),
            (ActivityFilter(tags=("a\x1fb",)), ["odd"]),
            (ActivityFilter(tags=("b",)), []),
            (ActivityFilter(excluded_tags=("a",)), ["many", "odd"]),
        ]:
            found = (await repo.list(owner.id, which, Page())).items
            assert sorted(str(one.title) for one in found) == titles

    async def test_a_change_is_found_by_its_new_words_and_tags_alone(self, repo: ActivityRepoPort, owner: User):
        kept = (await add(repo, an_activity(user_id=owner.id, notes="wind", tags=("race",)))).activity
        changed = revised(kept, {"notes": "rain", "tags": ("hills",)}, home_timezone="UTC", now=LATER)
        assert await update(repo, changed)
        for which, total in [
            (words("wind"), 0),
            (words("rain"), 1),
            (ActivityFilter(tags=("race",)), 0),
            (ActivityFilter(tags=("hills",)), 1),
        ]:
            assert (await repo.list(owner.id, which, Page())).total == total

    # Orders

    @pytest.mark.parametrize("sort", [*Sort])
    @pytest.mark.parametrize("which", [EVERYTHING, words("hills"), ActivityFilter(activity_types=(ActivityType.RUN,))])
    @pytest.mark.parametrize("counted", [True, False])
    async def test_pages_by_number_and_by_position_cut_the_same_list_in_every_order(
        self, repo: ActivityRepoPort, owner: User, sort: Sort, which: ActivityFilter, counted: bool
    ):
        added = await self.tied(repo, owner)
        which = replace(which, sort=sort)
        known = [one for one in added if position_of(one, sort).value is not None]
        unknown = [one for one in added if position_of(one, sort).value is None]
        known.sort(key=lambda one: (position_of(one, sort).value, one.id), reverse=sort.falling)
        unknown.sort(key=lambda one: one.id, reverse=sort.falling)
        expected = (*known, *unknown)
        assert (await repo.list(owner.id, which, Page(limit=100, counted=counted))).items == expected
        assert await self.by_number(repo, owner, which, counted=counted) == expected
        assert await self.by_position(repo, owner, which, counted=counted) == expected

    async def tied(self, repo: ActivityRepoPort, owner: User) -> list[Activity]:
        """Nine activities with ties in every value, and with unknown values."""
        minutes, distances = [0, 1, 1, 1, 2, 3, 3, 4, 4], [None, 1.5, 0.0, 1.5, None, 7.0, 7.0, 0.0, None]
        durations = [30.0, 20.0, 20.0, 45.5, 45.5, 45.5, 9.0, 9.0, 30.0]
        return await add_all(
            repo,
            [
                an_activity(
                    user_id=owner.id,
                    title="hills",
                    activity_date=LUNCH - timedelta(minutes=minute),
                    distance_km=distance,
                    duration_minutes=duration,
                )
                for minute, distance, duration in zip(minutes, distances, durations, strict=True)
            ],
        )

    async def by_number(
        self, repo: ActivityRepoPort, owner: User, which: ActivityFilter, *, counted: bool
    ) -> tuple[Activity, ...]:
        pages = [
            await repo.list(owner.id, which, Page(number=number, limit=2, counted=counted)) for number in range(1, 6)
        ]
        return tuple(one for page in pages for one in page.items)

    async def by_position(
        self, repo: ActivityRepoPort, owner: User, which: ActivityFilter, *, counted: bool
    ) -> tuple[Activity, ...]:
        found: tuple[Activity, ...] = ()
        page: Page | None = Page(limit=2, counted=counted)
        while page is not None:
            listing = await repo.list(owner.id, which, page)
            assert listing.total == (9 if counted else None)
            found += listing.items
            page = Page(limit=2, after=listing.next, counted=counted) if listing.next else None
        return found

    async def finds(self, repo: ActivityRepoPort, owner: User, title: str, notes: str, given: list[str]) -> bool:
        """Whether those words are found in an activity of that title and those notes."""
        await add(repo, an_activity(user_id=owner.id, title=title, notes=notes))
        return bool((await repo.list(owner.id, words(*given), Page())).items)
