"""Readers and writers that load the service and check each answer."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.harness.api import Api, Person, activity_body
from tests.patience import PATIENCE_S

READERS = 6
ACTIVITIES = 12


@dataclass
class Load:
    """Readers and writers, and what they have seen."""

    people: list[Person]
    ids: list[int]
    owners: dict[int, Person]
    titles: dict[int, str] = field(default_factory=dict)
    """The last acknowledged title of each activity."""
    created: set[int] = field(default_factory=set)
    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    unavailable: int = 0
    stop: bool = False

    async def go_on(self, answers: int) -> None:
        """Return after `answers` more answers."""
        enough = self.answers + answers
        await until(lambda: self.answers >= enough)

    async def until_created(self, count: int) -> None:
        """Return once there are `count` new activities."""
        await until(lambda: len(self.created) >= count)

    async def until_refused(self, times: int) -> None:
        """Return after `times` more answers of 503."""
        enough = self.unavailable + times
        await until(lambda: self.unavailable >= enough)

    async def read(self) -> None:
        while not self.stop:
            activity_id = random.choice(self.ids)
            person = self.owners[activity_id]
            response = await person.get(f"/activities/{activity_id}")
            self._judge(response.status_code, response.json().get("id") in (activity_id, None), response.text)
            page = await person.get("/activities?limit=5")
            mine = page.status_code != 200 or all(one["user_id"] == person.id for one in page.json()["items"])
            self._judge(page.status_code, mine, page.text)
            await asyncio.sleep(0.01)

    async def write(self, activity_id: int) -> None:
        person, number = self.owners[activity_id], 0
        while not self.stop:
            number += 1
            title = f"{activity_id} no {number}"
            response = await person.patch(f"/activities/{activity_id}", json={"title": title})
            if response.status_code == 200:
                self.titles[activity_id] = title
            self._judge(response.status_code, response.json().get("id") in (activity_id, None), response.text)
            await asyncio.sleep(0.05)

    async def create(self, person: Person) -> None:
        number = 0
        while not self.stop:
            number += 1
            key = {"Idempotency-Key": f"{person.id}-{number}-{random.random()}"}
            for _ in range(100):  # as a client does: again with the same key until there is an answer
                response = await person.post("/activities", json=activity_body(title=f"new {number}"), headers=key)
                self._judge(response.status_code, True, response.text)
                if response.status_code == 201:
                    self.created.add(response.json()["id"])
                    break
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.05)

    def _judge(self, status: int, right: bool, text: str) -> None:
        self.answers += 1
        if status == 503:
            self.unavailable += 1
        if not right or (status >= 500 and status != 503) or status == 404:
            self.wrong.append(f"{status} {text[:200]}")


@asynccontextmanager
async def under_load(api: Api) -> AsyncIterator[Load]:
    people = [await api.person() for _ in range(3)]
    owners = {}
    for number in range(ACTIVITIES):
        person = people[number % len(people)]
        owners[int((await person.record(title="0"))["id"])] = person
    load = Load(people, [*owners], owners)
    tasks = [asyncio.ensure_future(load.read()) for _ in range(READERS)]
    tasks += [asyncio.ensure_future(load.write(activity_id)) for activity_id in load.ids[::2]]
    tasks += [asyncio.ensure_future(load.create(person)) for person in people]
    await load.go_on(50)
    try:
        yield load
    finally:
        load.stop = True
        await asyncio.gather(*tasks)


async def until(fact: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < give_up_s
        await asyncio.sleep(0.01)


async def eventually(fact: Callable[[], Awaitable[bool]]) -> None:
    """Return once `fact` is true; for facts that no event announces."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not await fact():
        assert time.monotonic() < give_up_s, f"not so after {PATIENCE_S} s"
        await asyncio.sleep(0.02)


async def outbox_relayed(api: Api) -> None:
    """Return once no invalidation is pending."""

    async def relayed() -> bool:
        return not await api.container.outbox().pending()

    await eventually(relayed)


async def agrees_with_the_database(api: Api, load: Load) -> None:
    """Assert that the service shows what the database holds, from the cache or not."""
    repo = api.container.activity_repo()
    for activity_id, person in load.owners.items():
        shown = (await person.get(f"/activities/{activity_id}")).json()
        kept = await repo.get(activity_id)
        assert kept is not None
        assert (shown["title"], shown["version"]) == (kept.title, kept.version)
        if activity_id in load.titles:
            assert kept.title == load.titles[activity_id]
        page = (await person.get("/activities?limit=100")).json()["items"]
        listed = {one["id"]: one["version"] for one in page}
        assert listed.get(activity_id, kept.version) == kept.version
