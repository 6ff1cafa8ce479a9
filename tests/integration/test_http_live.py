"""The live feed: its WebSocket and its stream of events, behind a listener."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from dependency_injector import providers
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from fitness.adapters.memory.clock import ManualClock
from fitness.domain.model.api_keys import KEY_PREFIX, ApiScope
from fitness.domain.use_cases.live import MOST_OF_USER
from fitness.entrypoints.http import live_socket
from fitness.entrypoints.server import websocket
from fitness.entrypoints.wiring.lifecycle import begin_drain
from fitness.ports.credentials import ACCESS_TOKEN_TTL_S
from fitness.ports.live import TICKET_TTL_S
from tests.builders import an_activity, messages
from tests.harness.api import IN_MEMORY, Api, Person, Stores, serving
from tests.harness.listening import listening
from tests.harness.load import eventually
from tests.integration.test_http_access import key_of
from tests.integration.test_http_lists import cursor
from tests.integration.test_http_metrics import scraped, value
from tests.integration.test_websocket import closed, until
from tests.patience import PATIENCE_S

Told = tuple[str, int, int]
"""Kind, activity and version."""


class Live(NamedTuple):
    api: Api
    port: int

    def socket(self, query: str = "", **given: Any) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}/api/v1/live{query}", **given)

    @asynccontextmanager
    async def following(self, person: Person, after: str | None = None) -> AsyncIterator["Follower"]:
        """By a first message."""
        async with self.socket() as client:
            await client.send(json.dumps({"token": person.token} | ({} if after is None else {"cursor": after})))
            yield Follower(client, (await heard(client))["cursor"])


class Follower(NamedTuple):
    client: ClientConnection
    began: str

    async def told(self) -> Told:
        change = (await heard(self.client))["change"]
        return change["kind"], change["activity_id"], change["version"]


async def heard(client: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), PATIENCE_S))
    return message


@pytest.fixture
async def feed(api: Api) -> AsyncIterator[Live]:
    async with listening(api.app) as here:
        yield Live(api, here.port)


@asynccontextmanager
async def limited(stores: Stores) -> AsyncIterator[Live]:
    """With limits, which do not fill again."""
    async with (
        serving(stores.database_url, stores.redis_url, rate_limit_scale=1.0, limits_stand=True) as api,
        listening(api.app) as here,
    ):
        yield Live(api, here.port)


async def left(live: Live) -> int:
    """Of the requests of this address."""
    return int((await live.api.http.get("/api/v1/rate-limit")).json()["limits"][0]["remaining"])


async def is_used_up(live: Live) -> bool:
    return await left(live) == 0


async def ticket_of(person: Person) -> str:
    answer = await person.post("/live/ticket")
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["expires_in"] == TICKET_TTL_S
    return str(answer.json()["ticket"])


async def refused(live: Live, first: str) -> tuple[int | None, str | None]:
    async with live.socket() as client:
        await client.send(first)
        return await closed(client)


class TestFollowing:
    async def test_changes_are_told_as_they_happen_with_the_activity_as_it_is(self, feed: Live, ann: Person):
        async with feed.following(ann) as follower:
            ride = await ann.record(title="Hills")
            message = await heard(follower.client)
            assert message["type"] == "change"
            assert message["change"]["activity"] == ride
            await ann.patch(f"/activities/{ride['id']}", json={"title": "Higher hills"})
            await ann.delete(f"/activities/{ride['id']}")
            assert await follower.told() == ("updated", ride["id"], 2)
            assert await follower.told() == ("trashed", ride["id"], 3)

    async def test_what_is_told_is_what_the_list_of_changes_shows(self, feed: Live, ann: Person):
        async with feed.following(ann) as follower:
            await ann.record(title="Hills")
            told = (await heard(follower.client))["change"]
        assert (await ann.get("/activities/changes")).json()["items"] == [told]

    async def test_from_a_cursor_on_everything_since_comes_first(self, feed: Live, ann: Person):
        rides = [(await ann.record())["id"] for _ in range(120)]
        items = (await ann.get("/activities/changes?limit=5")).json()["items"]
        async with feed.following(ann, items[4]["cursor"]) as follower:
            assert follower.began == items[4]["cursor"]
            assert [await follower.told() for _ in range(115)] == [("created", one, 1) for one in rides[5:]]
            last = (await ann.record())["id"]
            assert await follower.told() == ("created", last, 1)

    async def test_whoever_comes_back_goes_on_where_they_were(self, feed: Live, ann: Person):
        async with feed.following(ann) as follower:
            place = follower.began
        ride = (await ann.record())["id"]
        async with feed.following(ann, place) as follower:
            assert await follower.told() == ("created", ride, 1)

    async def test_nobody_is_told_of_others(self, feed: Live, ann: Person, bob: Person):
        async with feed.following(ann) as follower:
            await bob.record()
            ride = (await ann.record())["id"]
            assert await follower.told() == ("created", ride, 1)

    async def test_a_message_that_is_lost_costs_no_change(self, feed: Live, ann: Person, monkeypatch: Any):
        monkeypatch.setattr(feed.api.container.changes(), "_announce", lambda _: None)
        async with feed.following(ann) as follower:
            ride = (await ann.record())["id"]
            assert await follower.told() == ("created", ride, 1)

    async def test_connections_and_how_late_changes_are_told_are_measured(self, feed: Live, ann: Person):
        before = await scraped(feed.api)
        async with feed.following(ann) as follower:
            assert value(await scraped(feed.api), "websocket_connections") == 1
            await ann.record()
            await follower.told()
            await until_counted(
                feed.api,
                "live_delivery_duration_seconds_count",
                value(before, "live_delivery_duration_seconds_count") + 1,
            )
        await until_counted(feed.api, "websocket_connections", 0)
        after = await scraped(feed.api)
        labels = {"method": "GET", "endpoint": live_socket.PATH, "status": "101"}
        assert value(after, "http_requests_total", **labels) == value(before, "http_requests_total", **labels) + 1


async def until_counted(api: Api, metric: str, count: float) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while value(await scraped(api), metric) != count:  # noqa: ASYNC110 - metrics know no event
            await asyncio.sleep(0.05)


class TestEntering:
    async def test_a_ticket_opens_it_once(self, feed: Live, ann: Person):
        ticket = await ticket_of(ann)
        ride = (await ann.record())["id"]
        start = cursor("changes", ann.id, 0)
        async with feed.socket(f"?ticket={ticket}&cursor={start}") as client:
            assert (await heard(client)) == {"type": "following", "cursor": start}
            assert (await heard(client))["change"]["activity_id"] == ride
        async with feed.socket(f"?ticket={ticket}") as client:
            assert await closed(client) == (4401, "the ticket is unknown, older than 30 s, or has been used")

    async def test_an_api_key_for_reading_opens_it_and_another_does_not(self, feed: Live, ann: Person):
        async with feed.following(await key_of(ann, ApiScope.ACTIVITIES_READ)) as follower:
            ride = (await ann.record())["id"]
            assert await follower.told() == ("created", ride, 1)
        writer = await key_of(ann, ApiScope.ACTIVITIES_WRITE)
        assert (await refused(feed, json.dumps({"token": writer.token})))[0] == 4403

    @pytest.mark.parametrize("first", ["{}", '{"token": ""}', '{"token": "x"}'])
    async def test_no_token_is_4401(self, feed: Live, first: str):
        assert (await refused(feed, first))[0] == 4401

    @pytest.mark.parametrize("first", ["", "x", "[]", '{"token": 1}', '{"token": "x", "more": 1}'])
    async def test_a_first_message_that_is_none_is_4400(self, feed: Live, first: str):
        assert (await refused(feed, first))[0] == 4400

    @pytest.mark.parametrize("place", ["x", cursor("changes", 1, 5), cursor("changes", 2**40, 0)])
    async def test_a_made_up_cursor_is_4400(self, feed: Live, ann: Person, place: str):
        assert (await refused(feed, json.dumps({"token": ann.token, "cursor": place})))[0] == 4400

    async def test_a_cursor_from_before_what_is_kept_is_4410(self, feed: Live, ann: Person):
        ride = await ann.record()
        log = feed.api.container.change_log()
        made = datetime.fromisoformat(ride["created_at"])
        assert await log.trim(made + timedelta(hours=1), most=10) == 1
        first = json.dumps({"token": ann.token, "cursor": cursor("changes", ann.id, 0)})
        assert (await refused(feed, first))[0] == 4410

    async def test_who_says_nothing_is_closed_after_a_while(self, feed: Live, monkeypatch: Any):
        monkeypatch.setattr(live_socket, "HELLO_S", 0.05)
        async with feed.socket() as client:
            assert (await closed(client))[0] == 4401

    async def test_who_speaks_out_of_place_is_closed(self, feed: Live, ann: Person):
        async with feed.following(ann) as follower:
            await follower.client.send("hello?")
            assert (await closed(follower.client))[0] == 4400

    async def test_an_account_has_five_places(self, feed: Live, ann: Person, bob: Person):
        async with feed.socket() as first, feed.following(bob):
            await first.send(json.dumps({"token": ann.token}))
            await heard(first)
            async with feed.following(ann), feed.following(ann), feed.following(ann), feed.following(ann) as last:
                assert (await refused(feed, json.dumps({"token": ann.token})))[0] == 4429
                await last.client.close()
                await until(lambda: len(feed.api.container.live_feed()._followers[ann.id]) == 4)
                async with feed.following(ann):
                    pass

    async def test_opening_one_is_charged_as_any_request(self, stores: Stores):
        async with limited(stores) as feed:
            ann = await feed.api.person()
            while (await ann.get("/users/me")).headers["x-ratelimit-remaining"] != "1":
                pass
            async with feed.following(ann):
                code, reason = await refused(feed, json.dumps({"token": ann.token}))
        assert code == 4429
        assert reason is not None
        assert reason.startswith("more than 100 requests in ")

    async def test_once_the_limit_of_an_address_is_used_up_no_first_message_of_it_is_waited_for(
        self, stores: Stores, monkeypatch: Any
    ):
        monkeypatch.setattr(live_socket, "HELLO_S", 1_000.0)
        async with limited(stores) as feed, AsyncExitStack() as silent:
            for _ in range(await left(feed)):
                await silent.enter_async_context(feed.socket())
            await eventually(lambda: is_used_up(feed))
            async with feed.socket() as client:
                code, reason = await closed(client)
        assert code == 4429
        assert reason is not None
        assert reason.startswith("more than 20 requests in ")

    @pytest.mark.parametrize("token", ["made up", KEY_PREFIX + "made-up"])
    async def test_a_guess_is_charged_to_the_address_once(self, stores: Stores, token: str):
        async with limited(stores) as feed:
            before = await left(feed)
            assert (await refused(feed, json.dumps({"token": token})))[0] == 4401
            assert await left(feed) == before - 1
            async with feed.socket("?ticket=made-up") as client:
                assert (await closed(client))[0] == 4401
            assert await left(feed) == before - 2

    async def test_a_ticket_costs_the_address_nothing(self, stores: Stores):
        async with limited(stores) as feed:
            ann = await feed.api.person()
            before = await left(feed)
            async with feed.socket(f"?ticket={await ticket_of(ann)}") as client:
                assert (await heard(client))["type"] == "following"
            assert await left(feed) == before

    async def test_a_page_of_another_origin_is_charged_to_its_address(self, stores: Stores):
        async with limited(stores) as feed:
            before = await left(feed)
            for _ in range(before + 1):
                with pytest.raises(InvalidStatus):
                    await feed.socket(origin="https://evil.example")
            assert await left(feed) == 0

    async def test_pages_of_other_origins_are_refused_and_the_services_own_are_not(self, feed: Live, ann: Person):
        with pytest.raises(InvalidStatus) as refusal:
            async with feed.socket(origin="https://evil.example"):
                pass
        assert refusal.value.response.status_code == 403
        async with feed.socket(f"?ticket={await ticket_of(ann)}", origin=f"http://127.0.0.1:{feed.port}") as client:
            assert (await heard(client))["type"] == "following"


class TestEnding:
    @pytest.mark.parametrize("by", ["/auth/logout", "/auth/logout-all"])
    async def test_an_ended_session_closes_its_connection(self, feed: Live, ann: Person, by: str):
        async with feed.following(ann) as follower:
            assert (await ann.post(by)).status_code == 204
            async with asyncio.timeout(PATIENCE_S):
                assert (await closed(follower.client))[0] == 4401

    async def test_a_revoked_key_closes_its_connection(self, feed: Live, ann: Person):
        async with feed.following(await key_of(ann, ApiScope.ACTIVITIES_READ)) as follower:
            (key,) = (await ann.get("/auth/keys")).json()["items"]
            await ann.delete(f"/auth/keys/{key['id']}")
            async with asyncio.timeout(PATIENCE_S):
                assert (await closed(follower.client))[0] == 4401

    async def test_other_sessions_of_the_account_go_on(self, feed: Live, ann: Person):
        other = await feed.api.login(ann.id, ann.email)
        async with feed.following(ann) as follower:
            await other.post("/auth/logout")
            await feed.api.container.live_feed().check_standings()
            ride = (await ann.record())["id"]
            assert await follower.told() == ("created", ride, 1)

    async def test_a_stopping_service_closes_with_1012_and_ends_streams(self):
        async with serving(IN_MEMORY.database_url, IN_MEMORY.redis_url) as api, listening(api.app) as here:
            feed, ann = Live(api, here.port), await api.person()
            async with feed.following(ann) as follower, events(feed, ann) as stream:
                await event(stream)
                await until(lambda: len(api.container.live_feed()._followers[ann.id]) == 2)
                begin_drain(api.container)
                assert (await closed(follower.client))[0] == 1012
                await asyncio.wait_for(stream.readuntil(b"0\r\n\r\n"), PATIENCE_S)
            assert (await refused(feed, json.dumps({"token": ann.token})))[0] == 1012

    async def test_who_does_not_take_what_is_told_is_closed(self, feed: Live, ann: Person, monkeypatch: Any):
        monkeypatch.setattr(live_socket, "SLOW_S", 0.2)
        monkeypatch.setattr(websocket, "CLOSING_S", 60.0)
        repo = feed.api.container.activity_repo()
        for _ in range(3):  # some megabytes
            await repo.add_all(
                [an_activity(user_id=ann.id, notes="x" * 10_000) for _ in range(100)], messages=messages()
            )
        narrow = socket.create_connection(("127.0.0.1", feed.port))
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        async with feed.socket(sock=narrow, max_queue=1) as client:
            await client.send(json.dumps({"token": ann.token, "cursor": cursor("changes", ann.id, 0)}))
            await until_counted(feed.api, "websocket_connections", 0)  # it was given up without having read anything
            assert (await closed(client))[0] == 4408


class Expiring(NamedTuple):
    """A service and its clock, which is moved."""

    live: Live
    ann: Person
    clock: ManualClock

    async def until_looked_at(self, by: timedelta) -> None:
        """So much passes, and every connection is looked at."""
        self.clock.advance(by)
        await self.live.api.container.live_feed().check_standings()


@pytest.fixture
async def expiring(stores: Stores) -> AsyncIterator[Expiring]:
    clock = ManualClock(datetime.now(UTC))
    turned = lambda container: container.clock.override(providers.Object(clock))  # noqa: E731
    async with serving(stores.database_url, stores.redis_url, prepare=turned) as api, listening(api.app) as here:
        yield Expiring(Live(api, here.port), await api.person(), clock)


TOKEN_LASTS = timedelta(seconds=ACCESS_TOKEN_TTL_S)
EXPIRED = "what this was opened with has expired; connect again with a new token"


class TestExpiring:
    async def test_a_connection_ends_with_its_access_token_and_goes_on_with_the_next(self, expiring: Expiring):
        live, ann, _ = expiring
        async with live.following(ann) as follower:
            await expiring.until_looked_at(TOKEN_LASTS - timedelta(seconds=1))
            first = (await ann.record())["id"]
            assert await follower.told() == ("created", first, 1)
            await expiring.until_looked_at(timedelta(seconds=1))
            assert await closed(follower.client) == (4401, EXPIRED)
        again = await live.api.login(ann.id, ann.email)
        missed = (await again.record())["id"]
        async with live.following(again, follower.began) as follower:
            assert [await follower.told() for _ in range(2)] == [("created", first, 1), ("created", missed, 1)]

    async def test_a_connection_by_a_ticket_ends_with_the_token_that_asked_for_it(self, expiring: Expiring):
        live, ann, clock = expiring
        clock.advance(TOKEN_LASTS - timedelta(seconds=10))
        async with live.socket(f"?ticket={await ticket_of(ann)}") as client:
            await heard(client)
            await expiring.until_looked_at(timedelta(seconds=10))
            assert await closed(client) == (4401, EXPIRED)

    async def test_a_ticket_does_not_outlive_the_token_that_asked_for_it(self, expiring: Expiring):
        live, ann, clock = expiring
        clock.advance(TOKEN_LASTS - timedelta(seconds=10))
        ticket = await ticket_of(ann)
        clock.advance(timedelta(seconds=10))
        async with live.socket(f"?ticket={ticket}") as client:
            assert await closed(client) == (4401, EXPIRED)

    async def test_a_stream_ends_with_its_access_token(self, expiring: Expiring):
        async with events(expiring.live, expiring.ann) as stream:
            await event(stream)
            await until(lambda: expiring.ann.id in expiring.live.api.container.live_feed()._followers)
            await expiring.until_looked_at(TOKEN_LASTS)
            name, _, data = await event(stream)
            assert (name, data) == ("end", {"reason": EXPIRED})
            assert (await asyncio.wait_for(stream.readuntil(b"0\r\n\r\n"), PATIENCE_S)).strip() == b"0"

    async def test_an_api_keys_connection_ends_with_the_key_and_not_before(self, expiring: Expiring):
        live, ann, clock = expiring
        made = {"name": "a program", "scopes": [ApiScope.ACTIVITIES_READ]}
        made["expires_at"] = (clock.now() + TOKEN_LASTS * 4).isoformat()
        limited = replace(ann, token=(await ann.post("/auth/keys", json=made)).json()["key"])
        forever = await key_of(ann, ApiScope.ACTIVITIES_READ)
        async with live.following(forever) as spared, live.following(limited) as follower:
            await expiring.until_looked_at(TOKEN_LASTS * 3)
            first = (await (await live.api.login(ann.id, ann.email)).record())["id"]
            assert await follower.told() == await spared.told() == ("created", first, 1)
            await expiring.until_looked_at(TOKEN_LASTS)
            assert await closed(follower.client) == (4401, EXPIRED)
            second = (await (await live.api.login(ann.id, ann.email)).record())["id"]
            assert await spared.told() == ("created", second, 1)


class TestStream:
    async def test_events_are_told_with_their_cursors_and_go_on_from_the_last(self, feed: Live, ann: Person):
        async with events(feed, ann) as stream:
            name, place, _ = await event(stream)
            assert name == "following"
            ride = (await ann.record())["id"]
            name, place, data = await event(stream)
            assert (name, data["kind"], data["activity_id"], data["cursor"]) == ("change", "created", ride, place)
        await ann.delete(f"/activities/{ride}")
        async with events(feed, ann, place) as stream:
            assert (await event(stream))[:2] == ("following", place)
            name, _, data = await event(stream)
            assert (name, data["kind"], data["activity"]) == ("change", "trashed", None)

    async def test_an_ended_session_ends_it(self, feed: Live, ann: Person):
        async with events(feed, ann) as stream:
            await event(stream)
            await ann.post("/auth/logout")
            name, _, data = await event(stream)
            assert (name, data) == ("end", {"reason": "this session has ended; log in again"})
            assert (await asyncio.wait_for(stream.readuntil(b"0\r\n\r\n"), PATIENCE_S)).strip() == b"0"

    async def test_the_sixth_is_refused_until_one_has_ended(self, feed: Live, ann: Person):
        asking = {"Accept": "text/event-stream"}
        async with AsyncExitStack() as others:
            for _ in range(MOST_OF_USER - 1):
                await event(await others.enter_async_context(events(feed, ann)))
            async with events(feed, ann) as stream:
                await event(stream)
                answer = await ann.get("/live", headers=asking)
                assert (answer.status_code, answer.json()["code"]) == (409, "too_many_connections")
            await until(lambda: len(feed.api.container.live_feed()._followers[ann.id]) < MOST_OF_USER)
            async with events(feed, ann) as stream:
                assert (await event(stream))[0] == "following"

    async def test_streams_are_counted_while_they_last(self, feed: Live, ann: Person):
        async with events(feed, ann) as stream:
            await event(stream)
            await until_counted(feed.api, "event_streams", 1)
        await until_counted(feed.api, "event_streams", 0)

    async def test_without_the_type_of_events_it_is_406(self, ann: Person):
        for accept in ("*/*", "text/event-stream;q=0", "text/event-streams"):
            answer = await ann.get("/live", headers={"Accept": accept})
            assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
        answer = await ann.call("HEAD", "/live", headers={"Accept": "application/json, Text/Event-Stream;q=0.5"})
        assert answer.status_code == 200

    async def test_whoever_asks_for_the_head_alone_gets_it(self, ann: Person):
        answer = await ann.call("HEAD", "/live", headers={"Accept": "text/event-stream"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")

    async def test_the_connection_is_good_for_more_once_a_stream_has_ended(self, feed: Live, ann: Person):
        async with events(feed, ann) as stream:
            await event(stream)
            await ann.post("/auth/logout")
            await event(stream)
            await asyncio.wait_for(stream.readuntil(b"0\r\n\r\n"), PATIENCE_S)
        assert not [task for task in asyncio.all_tasks() if "Exchange.run" in repr(task)]

    async def test_a_made_up_cursor_is_422(self, ann: Person):
        answer = await ann.get("/live?cursor=x", headers={"Accept": "text/event-stream"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_fields")


@asynccontextmanager
async def events(feed: Live, person: Person, last: str | None = None) -> AsyncIterator[asyncio.StreamReader]:
    """The body, in its chunks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", feed.port)
    place = "" if last is None else f"Last-Event-ID: {last}\r\n"
    head = f"GET /api/v1/live HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n{place}"
    writer.write(f"{head}Authorization: Bearer {person.token}\r\n\r\n".encode())
    try:
        answer = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)).lower()
        assert answer.startswith(b"http/1.1 200")
        assert b"content-type: text/event-stream" in answer
        assert b"cache-control: no-store" in answer
        yield reader
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def event(stream: asyncio.StreamReader) -> tuple[str, str, Any]:
    """Name, id and data of the next one."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(PATIENCE_S):
        while (line := (await stream.readline()).decode().strip()) or "data" not in fields:
            name, colon, text = line.partition(": ")
            if colon:
                fields[name] = text
    return fields["event"], fields.get("id", ""), json.loads(fields["data"])
