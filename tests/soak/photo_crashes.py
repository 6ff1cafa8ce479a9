"""Whether an upload that is killed between its objects and its row leaves anything that the sweep does not delete.

    python -m tests.soak.photo_crashes [--kills 50]

A process adds a photo and kills itself: after its first object, after both, or after the row, before the answer. After
all kills each row must have its objects, the sweep an hour later must delete the objects that no row names, and each
existing photo must be served. Exits with 1 if any of it fails.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ops.local.service import engines, environment, own_folder

from fitness.adapters.embedded.engines import EngineUrls
from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.memory.pictures import InMemoryPictureReader
from fitness.domain.model.photos import Picture, Rendition
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.photos import PhotoService
from fitness.entrypoints.commands.stores import on_stores
from fitness.entrypoints.wiring.container import Container
from tests.harness.api import Api, Person, serving
from tests.pictures import drawn, encoded

PICTURE = b"a picture"
PHOTOS_OF_AN_ACTIVITY = 10


class DiesAfter:
    """A wrapper of `inner` that kills its process once `method` has returned for the `number`th time."""

    def __init__(self, inner: Any, method: str, number: int) -> None:
        self._inner, self._method, self._left = inner, method, number

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await getattr(self._inner, name)(*args, **kwargs)
            self._left -= name == self._method
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


POINTS: dict[str, Callable[[PhotoService], PhotoService]] = {
    "an object": lambda photos: replace(photos, objects=DiesAfter(photos.objects, "put", 1)),
    "both objects": lambda photos: replace(photos, objects=DiesAfter(photos.objects, "put", 2)),
    "the row": lambda photos: replace(photos, repo=DiesAfter(photos.repo, "add", 1)),
}


@dataclass
class Seen:
    kept: int = 0
    """Photos whose row was committed."""
    orphans: int = 0
    """Objects that no row names, before the sweep."""
    swept: int = 0
    left: int = 0
    """Objects that no row names, after the sweep."""
    not_served: int = 0

    def wrong(self, kills: int) -> list[str]:
        rows = sum(number % len(POINTS) == 2 for number in range(kills))
        of_first = sum(number % len(POINTS) == 0 for number in range(kills))
        expected = Seen(kept=rows, orphans=2 * (kills - rows) - of_first, swept=2 * (kills - rows) - of_first)
        return [] if self == expected else [f"expected {expected}, found {self}"]


def die(point: str, activity_id: int, owner: int) -> None:
    """Add a photo, and kill this process after `point`."""

    async def run(container: Container) -> None:
        seen = Rendition(encoded(drawn(), "JPEG"), "image/jpeg", 60, 40)
        reader = InMemoryPictureReader({PICTURE: Picture(seen, seen)})
        photos = POINTS[point](replace(container.photos(), pictures=reader))
        await photos.add(activity_id, PICTURE, by=Caller(owner, "0" * 32))

    on_stores(run)


async def killed_uploads(urls: EngineUrls, objects_url: str, kills: int) -> Seen:
    async with serving(urls.database_url, urls.redis_url, objects_url=objects_url) as api:
        ann = await api.person()
        activities = [(await ann.record())["id"] for _ in range(-(-kills // PHOTOS_OF_AN_ACTIVITY))]
        for number in range(kills):
            point = [*POINTS][number % len(POINTS)]
            await asyncio.to_thread(kill_one, urls, objects_url, point, activities[number % len(activities)], ann.id)
        return await looked_at(api, ann, activities)


def kill_one(urls: EngineUrls, objects_url: str, point: str, activity_id: int, owner: int) -> None:
    program = [sys.executable, "-m", "tests.soak.photo_crashes", "--die-after", point]
    settings = environment(urls, OBJECTS_URL=objects_url)
    ended = subprocess.run([*program, str(activity_id), str(owner)], env=settings, check=False)
    assert ended.returncode == -signal.SIGKILL, f"it ended with {ended.returncode}"


async def looked_at(api: Api, ann: Person, activities: list[int]) -> Seen:
    seen = Seen()
    later = ManualClock(api.container.clock().now() + timedelta(hours=2))
    seen.orphans = await orphans(api)
    seen.swept = await replace(api.container.sweep(), clock=later).sweep()
    seen.left = await orphans(api)
    while (await api.container.outbox().backlog()).pending:  # noqa: ASYNC110 - until the relay has invalidated it
        await asyncio.sleep(0.1)
    for activity_id in activities:
        for photo in (await ann.get(f"/activities/{activity_id}/photos")).json()["items"]:
            seen.kept += 1
            for size in ("large", "small"):
                answer = await ann.get(f"/photos/{photo['id']}/file?size={size}")
                seen.not_served += answer.status_code != 200 or len(answer.content) != photo[size]["size_bytes"]
    return seen


async def orphans(api: Api) -> int:
    names = [one.name async for some in api.container.objects().list() for one in some]
    return len(names) - len(await api.container.object_names().named(names))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--die-after", nargs=3, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.die_after:
        point, activity_id, owner = given.die_after
        die(point, int(activity_id), int(owner))
        return
    with own_folder() as folder, engines() as urls:
        seen = asyncio.run(killed_uploads(urls, Path(folder, "objects").as_uri(), given.kills))
    print(f"{given.kills} kills: {seen}")
    for wrong in seen.wrong(given.kills):
        sys.exit(wrong)


if __name__ == "__main__":
    main()
