"""What it takes PostgreSQL to list the audit log."""

from typing import LiteralString

import psycopg

from fitness.adapters.postgres.audit import list_parameters, list_sql
from fitness.domain.model.audit import AuditAction, AuditFilter
from fitness.domain.model.listings import Page, Position
from tests.builders import NOW
from tests.integration.test_activity_lists import plan_of

FILTERS = {
    "audit_log_by_actor": AuditFilter(actor_id=10),
    "audit_log_by_subject": AuditFilter(subject_id=7),
    "audit_log_by_action": AuditFilter(action=AuditAction.USER_CHANGED),
}
"""By the index that each list is read from."""

PAGES = (Page(), Page(counted=False), Page(after=Position(NOW, 9)))

# As a service of some age has them: most entries are of the trash that it empties by itself.
FILL: LiteralString = """
    INSERT INTO audit_log (at, actor_id, action, subject_id, owner_id, position, hash)
    SELECT now() - n * interval '1 minute', CASE WHEN n % 10 = 0 THEN n % 50 END,
        CASE WHEN n % 50 = 0 THEN 'user_changed' ELSE 'activity_purged' END, n % 50, n % 500, n, ''
    FROM generate_series(1, 50000) AS n
"""


def test_each_filter_of_the_audit_log_has_an_index_in_the_order_of_the_list(owner_url: str):
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_a_chain")
        connection.execute(FILL)
        connection.execute("VACUUM ANALYZE audit_log")
        connection.prepare_threshold = 1_000  # only what asks for it is prepared
        plans = {
            (index, number): plan_of(
                connection, "force_custom_plan", list_sql(which, page), list_parameters(which, page)
            )
            for index, which in FILTERS.items()
            for number, page in enumerate(PAGES)
        }
    assert {asked: plan for asked, plan in plans.items() if not reads(plan, asked[0])} == {}


def reads(plan: list[str], index: str) -> bool:
    """Whether it looks into that index alone, and takes the page in its order."""
    scans = [line for line in plan if "Scan" in line and "Subquery Scan" not in line]
    others = [line for line in scans if index not in line and "Bitmap Heap Scan" not in line]
    return any(f"Index Scan using {index} " in line for line in scans) and not others
