"""A list of activities as one statement: its conditions, its order, its total.

A user's activities lie scattered over the table, so that reading their rows costs milliseconds per thousand. Therefore
the columns that can narrow or order a list are kept in the entries of two indexes, `activities_listed` and, with the
text, `activities_searched`: the ids of a page and the total are read from one user's stretch of one index, and only the
page's own rows are read from the table.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString

from fitness.adapters.postgres.activity_rows import COLUMNS
from fitness.adapters.postgres.rows import counted_sql, page_parameters
from fitness.domain.model.listings import ActivityFilter, Page, Range, Sort

TYPE_IS: LiteralString = "activity_type = ANY(%(activity_types)s)"
DAY_SINCE: LiteralString = "local_date >= %(since)s"
DAY_UNTIL: LiteralString = "local_date <= %(until)s"
STARTED_SINCE: LiteralString = "activity_date >= %(started_since)s"
STARTED_UNTIL: LiteralString = "activity_date < %(started_until)s"
DISTANCE_FROM: LiteralString = "distance_km >= %(min_distance_km)s"
DISTANCE_TO: LiteralString = "distance_km <= %(max_distance_km)s"
DURATION_FROM: LiteralString = "duration_minutes >= %(min_duration_minutes)s"
DURATION_TO: LiteralString = "duration_minutes <= %(max_duration_minutes)s"


def _by_tags(kept: LiteralString, entry: LiteralString) -> LiteralString:
    """A CASE, so that PostgreSQL reads a row only if its index entry lacks the tags, since their text is too long."""
    return f"""
    CASE WHEN search_tags IS NULL
        THEN (SELECT {kept} FROM activities AS kept WHERE kept.id = live_activities.id)
        ELSE search_tags {entry}
    END
"""


# One tag, the usual case, is not looked for as an array of one: this saves a tenth of the cost of statistics by tag.
HAS_TAG = _by_tags("kept.tags @> %(tags)s", "LIKE %(tag_pattern)s")
HAS_TAGS = _by_tags("kept.tags @> %(tags)s", "LIKE ALL(%(tag_patterns)s)")
LACKS_TAG = _by_tags("NOT kept.tags && %(excluded_tags)s", "NOT LIKE %(excluded_tag_pattern)s")
LACKS_TAGS = _by_tags("NOT kept.tags && %(excluded_tags)s", "NOT LIKE ALL(%(excluded_tag_patterns)s)")
# CASE as above.
SPEAKS_OF: LiteralString = r"""
    CASE WHEN search_text IS NULL
        THEN (
            SELECT folded(coalesce(kept.title, '') || E'\n' || coalesce(kept.notes, '')) LIKE ALL(%(word_patterns)s)
            FROM activities AS kept
            WHERE kept.id = live_activities.id
        )
        ELSE search_text LIKE ALL(%(word_patterns)s)
    END
"""

TAG_SEPARATOR = "\x1f"
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Order:
    """The order by `column` and id, both in one direction; NULLs last, if the column is `nullable`."""

    column: LiteralString
    direction: LiteralString = "DESC"
    beyond: LiteralString = "<"
    nullable: bool = False

    def by(self, source: LiteralString = "live_activities") -> LiteralString:
        last: LiteralString = "NULLS LAST" if self.nullable else ""
        return f"{source}.{self.column} {self.direction} {last}, {source}.id {self.direction}"

    def after(self, page: Page) -> LiteralString:
        """The condition for rows after the page's position."""
        if page.after is None:
            return "true"
        if page.after.value is None:
            return f"{self.column} IS NULL AND id {self.beyond} %(after_id)s"
        further: LiteralString = f"({self.column}, id) {self.beyond} (%(after_value)s, %(after_id)s)"
        return f"({further} OR {self.column} IS NULL)" if self.nullable else further


ORDERS = {
    Sort.NEWEST: Order("activity_date"),
    Sort.OLDEST: Order("activity_date", "ASC", ">"),
    Sort.FARTHEST: Order("distance_km", nullable=True),
    Sort.NEAREST: Order("distance_km", "ASC", ">", nullable=True),
    Sort.LONGEST: Order("duration_minutes"),
    Sort.SHORTEST: Order("duration_minutes", "ASC", ">"),
}


def list_sql(which: ActivityFilter, page: Page) -> LiteralString:
    """A query for rows of a total and COLUMNS. Takes `list_parameters`.

    LIMIT 1 in ITEM keeps PostgreSQL from joining the page to the whole table: each row is one look-up by its id.
    """
    order = ORDERS[which.sort]
    found: LiteralString = f"""
        FROM live_activities
        WHERE {" AND ".join(narrowed(which))}
    """
    if page.counted and page.after is None and _conditions(which):
        return _looked_through_once(found, order)
    return f"""
        SELECT counted.total, item.*
        FROM ({counted_sql(found, counted=page.counted)}) AS counted
        LEFT JOIN LATERAL (
            SELECT id, {order.column}
            {found} AND {order.after(page)}
            ORDER BY {order.by()}
            LIMIT %(limit)s OFFSET %(offset)s
        ) AS page ON true
        LEFT JOIN LATERAL ({ITEM}) AS item ON true
        ORDER BY {order.by("page")}
    """


def list_parameters(owner: int, which: ActivityFilter, page: Page) -> dict[str, Any]:
    return filter_parameters(owner, which) | page_parameters(page)


def narrowed(which: ActivityFilter) -> list[LiteralString]:
    """The conditions of the owner's activities that `which` asks for. They take `filter_parameters`."""
    return ["user_id = %(owner)s", *_instants(which), *_conditions(which)]


def filter_parameters(owner: int, which: ActivityFilter) -> dict[str, Any]:
    return {
        "owner": owner,
        "activity_types": [*which.activity_types],
        "since": which.since,
        "until": which.until,
        "started_since": _started_since(which.since),
        "started_until": _started_until(which.until),
        "tags": [*which.tags],
        "tag_pattern": _tag_pattern("".join(which.tags[:1])),
        "tag_patterns": [_tag_pattern(tag) for tag in which.tags],
        "excluded_tags": [*which.excluded_tags],
        "excluded_tag_pattern": _tag_pattern("".join(which.excluded_tags[:1])),
        "excluded_tag_patterns": [_tag_pattern(tag) for tag in which.excluded_tags],
        # The longest word is usually the rarest, and an entry without it is not searched for the other words.
        "word_patterns": [_pattern(word) for word in sorted(which.words, key=len, reverse=True)],
        "min_distance_km": which.distance_km.low,
        "max_distance_km": which.distance_km.high,
        "min_duration_minutes": which.duration_minutes.low,
        "max_duration_minutes": which.duration_minutes.high,
    }


ITEM: LiteralString = f"""
    SELECT {COLUMNS}
    FROM live_activities
    WHERE live_activities.id = page.id
    LIMIT 1
"""


def _looked_through_once(found: LiteralString, order: Order) -> LiteralString:
    """Total and page from one scan of the index, for conditions that may leave few of many entries.

    In the order of the index the scan ends after as many entries as are counted: no numbered page goes beyond them.
    """
    enough: LiteralString = f"ORDER BY {order.by()} LIMIT %(most)s" if order.column == "activity_date" else ""
    return f"""
        WITH found AS MATERIALIZED (
            SELECT id, {order.column}
            {found}
            {enough}
        )
        SELECT counted.total, item.*
        FROM (SELECT count(*) AS total FROM found) AS counted
        LEFT JOIN LATERAL (
            SELECT id, {order.column}
            FROM found
            ORDER BY {order.by("found")}
            LIMIT %(limit)s OFFSET %(offset)s
        ) AS page ON true
        LEFT JOIN LATERAL ({ITEM}) AS item ON true
        ORDER BY {order.by("page")}
    """


def _instants(which: ActivityFilter) -> list[LiteralString]:
    """The conditions by which the index finds entries. For dates they are wider: they hold those days in any zone."""
    asked: list[tuple[bool, LiteralString]] = [
        (_started_since(which.since) is not None, STARTED_SINCE),
        (_started_until(which.until) is not None, STARTED_UNTIL),
    ]
    return [condition for narrows, condition in asked if narrows]


def _conditions(which: ActivityFilter) -> list[LiteralString]:
    """The conditions that each entry is checked for; only those that narrow, so that the planner sees what it needs."""
    days = {"since": _is_day(which.since), "until": _is_day(which.until)}
    asked: list[tuple[bool, LiteralString]] = [
        (days["since"], DAY_SINCE),
        (days["until"], DAY_UNTIL),
        (bool(which.activity_types), TYPE_IS),
        *_bounds(which.distance_km, DISTANCE_FROM, DISTANCE_TO),
        *_bounds(which.duration_minutes, DURATION_FROM, DURATION_TO),
        (bool(which.words), SPEAKS_OF),
    ]
    return [condition for narrows, condition in asked if narrows] + tagged(which)


def tagged(which: ActivityFilter) -> list[LiteralString]:
    """The conditions on tags; none of them is ever NULL."""
    asked: list[tuple[bool, LiteralString]] = [
        (bool(which.tags), HAS_TAGS if which.tags[1:] else HAS_TAG),
        (bool(which.excluded_tags), LACKS_TAGS if which.excluded_tags[1:] else LACKS_TAG),
    ]
    return [condition for narrows, condition in asked if narrows]


def _bounds(one: Range, low: LiteralString, high: LiteralString) -> list[tuple[bool, LiteralString]]:
    return [(one.low is not None, low), (one.high is not None, high)]


def _is_day(limit: date | datetime | None) -> bool:
    return limit is not None and not isinstance(limit, datetime)


def _started_since(since: date | datetime | None) -> datetime | None:
    """No local day begins more than 24 hours before the same day in UTC; None where that is before the first year."""
    if since is None or isinstance(since, datetime):
        return since
    return None if since - date.min < DAY else _midnight(since - DAY)


def _started_until(until: date | datetime | None) -> datetime | None:
    """No local day ends more than 24 hours after the same day in UTC; None where that is after the last year."""
    if until is None or isinstance(until, datetime):
        return until
    return None if date.max - until < 2 * DAY else _midnight(until + 2 * DAY)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _tag_pattern(tag: str) -> str:
    return _pattern(f"{TAG_SEPARATOR}{tag}{TAG_SEPARATOR}")


def _pattern(text: str) -> str:
    """A pattern for LIKE that finds texts with `text` in them, in which no character is a wildcard."""
    literal = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{literal}%"
