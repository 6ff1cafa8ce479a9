"""GET /activities/changes."""

from datetime import timedelta

import pytest

from fitness.adapters.system.clock import SystemClock
from tests.harness.api import Api, Person
from tests.integration.test_http_lists import cursor


async def changes(person: Person, query: str = "") -> tuple[list[tuple[str, int, int]], str]:
    """Kind, activity and version of each, and the cursor behind them."""
    answer = await person.get(f"/activities/changes?{query}")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return [(one["kind"], one["activity_id"], one["version"]) for one in body["items"]], body["next_cursor"]


async def refused(person: Person, query: str) -> tuple[int, str]:
    answer = await person.get(f"/activities/changes?{query}")
    return answer.status_code, answer.json()["code"]


async def test_what_happened_is_told_in_order_and_onward_from_a_cursor(ann: Person):
    ride = (await ann.record(title="Hills"))["id"]
    await ann.patch(f"/activities/{ride}", json={"title": "Higher hills"})
    await ann.delete(f"/activities/{ride}")
    first, place = await changes(ann, "limit=2")
    assert first == [("created", ride, 1), ("updated", ride, 2)]
    await ann.post(f"/activities/{ride}/restore")
    onward, place = await changes(ann, f"cursor={place}")
    assert onward == [("trashed", ride, 3), ("restored", ride, 4)]
    assert await changes(ann, f"cursor={place}") == ([], place)


async def test_more_says_whether_to_ask_on_at_once(ann: Person):
    for _ in range(3):
        await ann.record()
    page = (await ann.get("/activities/changes?limit=2")).json()
    assert page["more"]
    page = (await ann.get(f"/activities/changes?cursor={page['next_cursor']}")).json()
    assert (len(page["items"]), page["more"]) == (1, False)


async def test_each_change_shows_the_activity_as_it_is_now(ann: Person):
    ride = await ann.record(title="Hills")
    now = (await ann.patch(f"/activities/{ride['id']}", json={"title": "Higher hills"})).json()
    shown = [one["activity"] for one in (await ann.get("/activities/changes")).json()["items"]]
    assert shown == [now, now]


@pytest.mark.parametrize("purged", [False, True])
async def test_of_what_was_deleted_nothing_but_its_id_is_told(api: Api, ann: Person, purged: bool):
    ride = await ann.record(title="secret hills", notes="with nobody")
    await ann.patch(f"/activities/{ride['id']}", json={"title": "secret hills again"})
    await ann.delete(f"/activities/{ride['id']}")
    if purged:
        admin = await api.admin()
        assert (await admin.delete(f"/admin/activities/{ride['id']}?reason=asked")).status_code == 204
    answer = await ann.get("/activities/changes")
    assert "hills" not in answer.text
    items = answer.json()["items"]
    assert [one["kind"] for one in items] == ["created", "updated", "trashed", *(["purged"] if purged else [])]
    assert {one["activity"] for one in items} == {None}


async def test_the_cursor_of_a_change_goes_on_behind_it(ann: Person):
    rides = [(await ann.record())["id"] for _ in range(3)]
    items = (await ann.get("/activities/changes")).json()["items"]
    assert (await changes(ann, f"cursor={items[0]['cursor']}"))[0] == [("created", one, 1) for one in rides[1:]]


async def test_from_now_is_a_first_cursor_without_any_change(ann: Person):
    assert (await changes(ann, "from=now"))[0] == []
    await ann.record()
    nothing, place = await changes(ann, "from=now")
    assert nothing == []
    ride = (await ann.record())["id"]
    assert (await changes(ann, f"cursor={place}"))[0] == [("created", ride, 1)]


async def test_a_cursor_from_before_the_first_change_is_good(ann: Person):
    _, place = await changes(ann, "from=now")
    ride = (await ann.record())["id"]
    assert (await changes(ann, f"cursor={place}"))[0] == [("created", ride, 1)]


async def test_a_renamed_tag_is_a_change_of_each_activity_that_had_it(ann: Person):
    rides = [(await ann.record(tags=["lake"]))["id"] for _ in range(3)]
    _, place = await changes(ann, "from=now")
    await ann.patch("/tags/lake", json={"name": "lakeside"})
    assert (await changes(ann, f"cursor={place}"))[0] == [("updated", one, 2) for one in rides]


async def test_what_is_not_kept_any_more_is_410_with_a_way_on(api: Api, ann: Person):
    _, before = await changes(ann, "from=now")
    for _ in range(3):
        await ann.record()
    items = (await ann.get("/activities/changes")).json()["items"]
    log = api.container.change_log()
    assert await log.trim(SystemClock().now() + timedelta(hours=1), most=2) == 2
    for place in (before, items[0]["cursor"]):
        answer = await ann.get(f"/activities/changes?cursor={place}")
        assert (answer.status_code, answer.json()["code"]) == (410, "changes_not_kept")
        assert "from=now" in answer.json()["detail"]
    kept = [("created", items[2]["activity_id"], 1)]
    assert (await changes(ann, f"cursor={items[1]['cursor']}"))[0] == kept
    assert (await changes(ann))[0] == kept


async def test_a_made_up_cursor_is_refused(ann: Person, bob: Person):
    await ann.record()
    await bob.record()
    _, mine = await changes(ann)
    _, others = await changes(bob)
    made_up = [
        "x",
        "%C3%A9",
        "AAAA",
        mine[:-1],
        others,
        cursor("changes", ann.id, 2),
        cursor("changes", ann.id, -1),
        cursor("changes", ann.id, "1"),
        cursor("changes", ann.id),
        cursor("-date", 1, 1),
    ]
    for one in made_up:
        assert await refused(ann, f"cursor={one}") == (422, "invalid_fields"), one


async def test_parameters_are_read_strictly(ann: Person):
    _, place = await changes(ann, "from=now")
    for query in (f"from=now&cursor={place}", "from=then", "from=", "limit=0", "limit=101", "page=2", "cursor="):
        assert await refused(ann, query) == (422, "invalid_fields"), query


async def test_nobody_is_told_of_others(ann: Person, bob: Person):
    await bob.record(title="private")
    assert (await changes(ann))[0] == []


async def test_a_page_that_says_nothing_new_is_304(ann: Person):
    await ann.record()
    _, place = await changes(ann)
    tag = (await ann.get(f"/activities/changes?cursor={place}")).headers["etag"]
    again = await ann.get(f"/activities/changes?cursor={place}", headers={"If-None-Match": tag})
    assert again.status_code == 304
