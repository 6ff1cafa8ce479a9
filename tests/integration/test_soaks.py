"""Short runs of the soaks that `make soak` runs for minutes. How long something takes is for `make soak` to judge."""

from dataclasses import replace
from pathlib import Path

import pytest
import redis
from ops.local.service import serving

from fitness.adapters.embedded.engines import EngineUrls
from tests.harness.servers import ValkeyServer, breakable_cache, breakable_state
from tests.patience import PATIENCE_S
from tests.soak.busy import BEYOND_REACH, SITUATIONS, TRUSTED, levels, limited
from tests.soak.faults import FAULTS, READERS, Fault, watched
from tests.soak.imports import killed, stage
from tests.soak.jobs import hunted
from tests.soak.live import SETTINGS as LIVE
from tests.soak.live import apart, followed, many, revoked
from tests.soak.photo_crashes import POINTS, killed_uploads
from tests.soak.rereading import reread_all

pytestmark = [pytest.mark.engines, pytest.mark.slow]

READS = 1_000
HELD_BACK_S = 2.0
SECONDS = 2.0


@pytest.fixture
def urls(engines: EngineUrls, database_url: str) -> EngineUrls:
    with redis.Redis.from_url(engines.state_redis_url) as state:
        state.flushall()  # accounts begin at the same ids in each test, and would find their limits used up
    return replace(engines, database_url=database_url)


# The other faults take longer, or a core of their own: `make soak` has all of them.
SHORT = {"writes-paused", "redis-frozen", "redis-killed", "two-primaries"}


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in SHORT], ids=lambda fault: fault.name)
async def test_no_read_is_older_than_what_was_acknowledged_before_it(urls: EngineUrls, fault: Fault):
    with fault.stage(urls) as stage:
        stage.hold_s, stage.recovered_s = HELD_BACK_S, PATIENCE_S
        watch = await watched(stage, fault.act, READS)
    assert watch.stale == []
    assert watch.wrong == []
    assert watch.origins["hit"] >= READERS, watch.row()  # the cache was in use, before the fault or after it


async def test_many_connections_are_no_outage(urls: EngineUrls):
    with breakable_cache(urls) as (own, _), serving(own, **TRUSTED, **BEYOND_REACH) as one:
        measured = await levels(one, [64, 256, 1_000], SECONDS)
    assert [what for level in measured for what in level.wrong] == []


async def test_who_follows_the_live_feed_sees_each_change_once_and_in_order(urls: EngineUrls):
    with breakable_state(urls) as (own, state), serving(own, **LIVE | {"WORKERS": "2"}) as one:
        _, wrong = await followed(one, 1.5 * SECONDS, state.kill, state.start)
        _, still_open = await revoked(one, PATIENCE_S)
        _, uncounted = await many(one, own, 40)
        _, mixed_up = await apart(one, own, 4_000)
    assert [*wrong, *still_open, *uncounted, *mixed_up] == []


async def test_a_kill_within_an_import_parts_no_file_from_its_activities(urls: EngineUrls):
    with stage(urls) as one:
        seen = await killed(one, kills=2)
        assert seen.unanswered == seen.kills
        assert await one.sweep(seen) == 1
    assert seen.wrong == []


async def test_reading_again_changes_what_the_rules_ask_for_and_nothing_else(urls: EngineUrls, tmp_path: Path):
    seen = await reread_all(urls, tmp_path, 25)
    assert seen.wrong == []
    assert seen.changed
    assert seen.kept


def test_every_job_is_done_once_although_the_worker_is_killed(urls: EngineUrls, owner_url: str, folder: Path):
    given, kills, found = hunted(replace(urls, owner_database_url=owner_url), folder, 3, 20, PATIENCE_S)
    assert found == []
    assert given.in_trash
    assert len(kills.running) >= 3  # each kill was under a job of another kind


@pytest.mark.parametrize("situation", [*SITUATIONS][:2])
async def test_nobody_is_admitted_more_often_than_the_limit_says(urls: EngineUrls, situation: str):
    with breakable_cache(urls) as (own, cache), serving(own, **TRUSTED) as one:
        assert isinstance(cache, ValkeyServer)
        seen = await limited(one, cache, SITUATIONS[situation], 1_000, SECONDS)
    assert seen.wrong == []


async def test_uploads_that_are_killed_leave_nothing_that_the_sweep_does_not_delete(urls: EngineUrls, folder: Path):
    seen = await killed_uploads(urls, (folder / "objects").as_uri(), kills=len(POINTS))
    assert seen.wrong(len(POINTS)) == []
