"""`python -m ops.bench.rows` and `ops.bench.stats` in small: what is filled, and that every question is asked."""

import psycopg
import pytest
from ops.bench.people import FEW, MANY
from ops.bench.rows import BASE, LISTS, filled, inserts, lists
from ops.bench.stats import FILTERS, costs

from fitness.adapters.embedded.engines import EngineUrls

pytestmark = pytest.mark.slow


async def test_each_list_is_measured_for_one_who_has_much_and_one_who_has_little(engines: EngineUrls):
    url = filled(engines.owner_database_url, "bench_rows", BASE)
    with psycopg.connect(url) as connection:
        have: dict[int, int] = dict(
            connection.execute("SELECT user_id, count(*) FROM activities GROUP BY user_id").fetchall()
        )
    assert (have[MANY], have[FEW], sum(have.values())) == (50_000, 500, BASE)
    found = await lists(url, url, runs=2)
    assert found.keys() > LISTS.keys()
    assert {person: len(costs) for asked in found.values() for person, costs in asked.items()} == {MANY: 2, FEW: 2}
    every_cost = [cost for asked in found.values() for costs in asked.values() for cost in costs]
    assert {len(cost.wall_ms) for cost in every_cost} == {2}
    statistics = await costs(url, runs=2, warming=1)
    assert len(statistics) == 5 * len(FILTERS)
    assert all(cost.activities and len(cost.execution_ms) == len(cost.server_ms) == 2 for cost in statistics.values())
    assert all(execution_ms > 0 for cost in statistics.values() for execution_ms in cost.execution_ms)
    without, with_them = await inserts(url, url, count=50)
    assert len(without.cpu_ms) == len(with_them.cpu_ms) == 50
