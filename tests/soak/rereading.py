"""Whether reading all files again changes what the rules ask for, and nothing else.

    python -m tests.soak.rereading [--files 500]

It imports files, edits or trashes some of their activities, and reads the files again with a changed rule, which gives
every other file a different climb. Exits with 1 if an activity is not as it has to be, or if a dry run or a second run
changes anything.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from ops.local.service import engines
from psycopg.rows import dict_row

from fitness.adapters.embedded.engines import EngineUrls
from fitness.domain.model.originals import UploadedFile
from fitness.domain.model.recordings import ReadRecording
from fitness.domain.model.users import Caller, Registration
from fitness.domain.use_cases.rereading import RereadService
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.lifecycle import running
from fitness.ports.recordings import FileIdentity, RecordingReaderPort
from tests.files import FitFile, gpx, track

EDITED, CLIMB_EDITED, TRASHED = 5, 7, 11
"""Of so many activities, one has its title edited, one its climb, and one is in the trash."""

KEPT = """
    SELECT id, version, title, elevation_gain_m, duration_minutes, distance_km, updated_at, deleted_at
    FROM activities
    ORDER BY id
"""

NEW_CLIMB_M = 77.0


@dataclass
class Seen:
    changed: int = 0
    kept: int = 0
    took_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


class ChangedRule:
    """A reader that gives every other file the climb NEW_CLIMB_M."""

    def __init__(self, reader: RecordingReaderPort) -> None:
        self._reader = reader

    def turn(self, user_id: int) -> AbstractAsyncContextManager[None]:
        return self._reader.turn(user_id)

    async def identify(self, data: bytes) -> FileIdentity:
        return await self._reader.identify(data)

    async def read(self, data: bytes, identity: FileIdentity, *, home_timezone: str, now: datetime) -> ReadRecording:
        read = await self._reader.read(data, identity, home_timezone=home_timezone, now=now)
        if not is_concerned(identity.digest):
            return read
        return replace(read, activities=tuple(replace(one, elevation_gain_m=NEW_CLIMB_M) for one in read.activities))


def is_concerned(digest: str) -> bool:
    return int(digest[0], 16) % 2 == 0


def a_file(number: int) -> bytes:
    start = datetime(2020, 1, 1, 6, tzinfo=UTC) + timedelta(days=number)
    if number % 2:
        return FitFile().session(start=start).content()
    return gpx(track(*(f"{start + timedelta(minutes=five):%Y-%m-%dT%H:%M:%SZ}" for five in (0, 5, 10, 15))))


async def import_all(container: Container, files: int) -> Caller:
    email = "soak@example.org"
    user = await container.accounts().register(Registration(email=email, password="correct horse", timezone="UTC"))
    caller = Caller(user.id, session_id="soak")
    activities = container.activities()
    for number in range(files):
        made = await container.imports().import_file(UploadedFile(a_file(number)), by=caller)
        (one,) = made.activities
        if number % EDITED == 0:
            await activities.update(one.id, {"title": f"Mine {number}"}, by=caller)
        if number % CLIMB_EDITED == 0:
            await activities.update(one.id, {"elevation_gain_m": 1.0}, by=caller)
        if number % TRASHED == 0:
            await activities.delete(one.id, by=caller)
    return caller


async def reread_all(urls: EngineUrls, data_dir: Path, files: int) -> Seen:
    settings = CompleteSettings(
        database_url=urls.database_url,
        redis_url=urls.redis_url,
        state_redis_url=urls.state_redis_url,
        limits_redis_url=urls.state_redis_url,
        secret_keys=("k" * 32,),
        data_dir=data_dir,
    )
    seen = Seen()
    async with running(settings) as container:
        caller = await import_all(container, files)
        before = _kept(urls)
        service = container.rereading()
        await _run(service, caller)
        if _kept(urls) != before:
            seen.wrong.append("the rules are the same, and something changed")
        changed_rule = replace(service, reader=ChangedRule(container.recording_reader()))
        await _run(changed_rule, caller, dry_run=True)
        if _kept(urls) != before:
            seen.wrong.append("a dry run changed something")
        began_s = time.monotonic()
        seen.changed, seen.kept = await _run(changed_rule, caller)
        seen.took_s = time.monotonic() - began_s
        after = _kept(urls)
        seen.wrong += _differences(urls, before, after)
        if await _run(changed_rule, caller) != (0, seen.kept) or _kept(urls) != after:
            seen.wrong.append("a second run changed something")
    return seen


async def _run(service: RereadService, caller: Caller, *, dry_run: bool = False) -> tuple[int, int]:
    """How many activities changed, and how many edited fields were kept."""
    changed = kept = 0
    async for file in service.reread(owner=caller.id, dry_run=dry_run):
        assert file.failed is None, file.failed
        for _, result in file.changes:
            changed += bool(result.differing)
            kept += len(result.edited)
    return changed, kept


Kept = dict[int, dict[str, object]]


def _kept(urls: EngineUrls) -> Kept:
    with psycopg.connect(urls.database_url, row_factory=dict_row) as there:
        return {row["id"]: row for row in there.execute(KEPT.encode()).fetchall()}


def _differences(urls: EngineUrls, before: Kept, after: Kept) -> list[str]:
    """Activities that differ from before in more or less than had to change."""
    with psycopg.connect(urls.database_url) as there:
        origins: dict[int, str] = dict(there.execute("SELECT id, external_id FROM activities").fetchall())
    wrong = []
    for id, was in before.items():
        is_, has_to_be = after[id], {**was}
        if is_concerned(origins[id]) and was["deleted_at"] is None and was["elevation_gain_m"] != 1.0:
            assert isinstance(was["version"], int)
            has_to_be |= {"elevation_gain_m": NEW_CLIMB_M, "version": was["version"] + 1}
            has_to_be["updated_at"] = is_["updated_at"]
        if is_ != has_to_be:
            wrong.append(f"activity {id} is {is_} and has to be {has_to_be}")
    return wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--files", type=int, default=500)
    given = options.parse_args()
    with engines() as urls, tempfile.TemporaryDirectory() as folder:
        seen = asyncio.run(reread_all(urls, Path(folder), given.files))
    print(f"{given.files} files read again in {seen.took_s:.1f} s: {seen.changed} changed, {seen.kept} edits kept")
    for what in seen.wrong[:20]:
        print(what)
    if seen.wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
