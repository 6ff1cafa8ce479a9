"""`python -m ops.bench.rows` in small: what it fills, and that it asks for every list."""

import psycopg
import pytest
from ops.bench.people import FEW, MANY
from ops.bench.rows import BASE, LISTS, filled, inserts, lists

from fitness.adapters.embedded.engines import EngineUrls

pytestmark = pytest.mark.slow


async def test_each_list_is_measured_for_one_who_has_much_and_one_who_has_little(engines: EngineUrls):
    url = filled(engines.owner_database_url, "bench_rows", BASE)
    with psycopg.connect(url) as connection:
        have: dict[int, int] = dict(
            connection.execute("SELECT user_id, count(*) FROM activities GROUP BY user_id").fetchall()
        )
    assert (have[MANY], have[FEW], sum(have.values())) == (50_000, 500, BASE)
    found = await lists(url, runs=2)
    assert found.keys() > LISTS.keys()
    assert {len(cost.wall_ms) for costs in found.values() for cost in costs} == {2}
    without, with_them = await inserts(url, url, count=50)
    assert len(without.cpu_ms) == len(with_them.cpu_ms) == 50
