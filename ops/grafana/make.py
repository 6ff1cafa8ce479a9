"""Writes the dashboards: each panel is declared here, and written as Grafana's JSON to ops/grafana/dashboards/.

python -m ops.grafana.make
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 8, 8
ACROSS = 24 // WIDTH

ON = 'job="fitness", instance=~"$instance"'
RATE = "$__rate_interval"
NO_PROBES = 'endpoint!~"/health/.*"'
"""As in the alerts: a replica that stops answers its probes with 503, as it should, and nobody waits for them."""


@dataclass(frozen=True)
class Panel:
    """`queries` maps legends to PromQL; `unit` is Grafana's name of the unit."""

    title: str
    unit: str
    queries: dict[str, str]
    says: str = ""
    stat: bool = False


def rate(metric: str, by: str = "", where: str = "") -> str:
    labels = f"{ON}, {where}" if where else ON
    return f"sum by ({by}) (rate({metric}{{{labels}}}[{RATE}]))" if by else f"sum(rate({metric}{{{labels}}}[{RATE}]))"


def quantile(share: float, metric: str, by: str = "le", where: str = "") -> str:
    """A quantile; no value where nothing was measured, since the comparison drops NaN."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', by, where)}) >= 0"


def ratio(part: str, whole: str) -> str:
    """The ratio; 0 where `whole` is 0, so that an idle instance shows no gap."""
    return f"({part}) / clamp_min({whole}, 1e-9)"


def sampled(metric: str, function: str = "max") -> str:
    return f"{function}({metric}{{{ON}}})"


def reads(by: str = "") -> str:
    """Reads by clients: hits, misses and bypasses together."""
    return " + ".join(rate(f"cache_{result}_total", by) for result in ("hits", "misses", "bypasses"))


REQUESTS = rate("http_requests_total", where=NO_PROBES)
FAILED = rate("http_requests_total", where=f'{NO_PROBES}, status=~"5.."')
REFUSED = rate("http_requests_total", where=f'{NO_PROBES}, status="429"')
JOBS, JOB = "background_jobs_processed", "background_job_duration_seconds"
HTTP, DB = "http_request_duration_seconds", "db_query_duration_seconds"
LIVE = "live_delivery_duration_seconds"

DASHBOARDS = {
    "http": (
        "HTTP",
        [
            Panel("Requests", "reqps", {"all": REQUESTS}, "Without probes of /health.", stat=True),
            Panel(
                "Failed with 5xx",
                "percentunit",
                {"share": ratio(FAILED, REQUESTS)},
                "Without probes of /health.",
                stat=True,
            ),
            Panel(
                "Alerts firing",
                "none",
                {"alerts": 'sum(ALERTS{alertstate="firing", alertname!="Watchdog"}) or vector(0)'},
                stat=True,
            ),
            Panel(
                "Requests by route",
                "reqps",
                {"{{method}} {{endpoint}}": rate("http_requests_total", "method, endpoint")},
            ),
            Panel(
                "Requests by status",
                "reqps",
                {"{{status}}": rate("http_requests_total", "status", NO_PROBES)},
                "Without probes of /health.",
            ),
            Panel(
                "Errors by route",
                "reqps",
                {
                    "{{method}} {{endpoint}} {{status}}": rate(
                        "http_requests_total", "method, endpoint, status", 'status=~"5.."'
                    )
                },
            ),
            Panel(
                "Duration",
                "s",
                {f"p{percent}": quantile(percent / 100, HTTP, where=NO_PROBES) for percent in (50, 95, 99)},
                "Without probes of /health.",
            ),
            Panel("p99 by route", "s", {"{{method}} {{endpoint}}": quantile(0.99, HTTP, "le, method, endpoint")}),
            Panel(
                "Refused and wrong, by status",
                "reqps",
                {"{{status}}": rate("http_requests_total", "status", f'{NO_PROBES}, status=~"4.."')},
            ),
            Panel(
                "Event-loop lag",
                "s",
                {"{{instance}} {{worker}}": f"max by (instance, worker) (event_loop_lag_seconds{{{ON}}})"},
                "Above 0.1 s a worker has more work than one core can do.",
            ),
            Panel(
                "Workers", "none", {"{{instance}} {{version}}": f"count by (instance, version) (build_info{{{ON}}})"}
            ),
        ],
    ),
    "cache": (
        "Cache",
        [
            Panel(
                "Hit ratio",
                "percentunit",
                {"all": ratio(rate("cache_hits_total"), reads())},
                "Share of what readers asked for that came from the cache; what bypassed it counts as missed.",
                stat=True,
            ),
            Panel(
                "Usable",
                "none",
                {"{{instance}} {{worker}}": f"min by (instance, worker) (cache_usable{{{ON}}})"},
                "1 while a worker may read from the cache: its lease is valid, and the cache is open.",
                stat=True,
            ),
            Panel(
                "Oldest pending invalidation",
                "s",
                {"age": sampled("cache_outbox_oldest_seconds")},
                "Age of the oldest change whose cache invalidation is still pending.",
                stat=True,
            ),
            Panel(
                "Hit ratio by cache",
                "percentunit",
                {"{{cache}}": ratio(rate("cache_hits_total", "cache"), reads("cache"))},
            ),
            Panel("Hits by cache", "ops", {"{{cache}}": rate("cache_hits_total", "cache")}),
            Panel("Misses by cache", "ops", {"{{cache}}": rate("cache_misses_total", "cache")}),
            Panel(
                "Bypasses by cache",
                "ops",
                {"{{cache}}": rate("cache_bypasses_total", "cache")},
                "Reads that went to PostgreSQL since the cache was closed or did not answer.",
            ),
            Panel(
                "Closed",
                "none",
                {"closed": sampled("cache_closed")},
                "1 while no process may read from the cache.",
            ),
            Panel(
                "Workers without a lease",
                "none",
                {"{{instance}}": f"sum by (instance) (1 - cache_lease_valid{{{ON}}})"},
                "They do not know whether the cache may be read, and read from PostgreSQL.",
            ),
            Panel(
                "Closings by reason",
                "short",
                {"{{reason}}": f"sum by (reason) (increase(cache_closings_total{{{ON}}}[{RATE}]))"},
                "An invalidation was not confirmed, or another Redis took the place of the one that counts.",
            ),
            Panel(
                "Internal reads",
                "ops",
                {"{{cache}} {{result}}": rate("cache_internal_reads_total", "cache, result")},
                "Reads by the service itself: tiers for the limits, time zones for new activities. In no hit ratio.",
            ),
            Panel("Errors by cache", "ops", {"{{cache}}": rate("cache_errors_total", "cache")}),
            Panel("Memory", "bytes", {"Redis": sampled("cache_memory_bytes")}),
            Panel("Keys", "short", {"keys": sampled("cache_keys")}),
            Panel("Evictions", "ops", {"evicted": f"max(rate(cache_evicted_keys_total{{{ON}}}[{RATE}]))"}),
            Panel(
                "Poisoned copies",
                "ops",
                {"removed": rate("cache_poisoned_copies_total")},
                "Cached values deleted because they could not be decoded.",
            ),
            Panel("Pending invalidations", "short", {"pending": sampled("cache_outbox_pending")}),
        ],
    ),
    "limits": (
        "Limits",
        [
            Panel("Requests refused", "reqps", {"all": REFUSED}, "Answered with 429.", stat=True),
            Panel(
                "Share of requests refused",
                "percentunit",
                {"share": ratio(REFUSED, REQUESTS)},
                "Answered with 429, of all requests without probes of /health.",
                stat=True,
            ),
            Panel(
                "Decisions not made: Redis is down",
                "ops",
                {"all": rate("rate_limit_decisions_total", where='outcome="unavailable"')},
                "Several to a request. Requests pass, but each process judges by its share of the limits what logs in, "
                "registers, refreshes or asks for the password again, and permanent deletion is refused.",
                stat=True,
            ),
            Panel(
                "Decisions",
                "ops",
                {"{{outcome}}": rate("rate_limit_decisions_total", "outcome")},
                "One for each policy that a request is judged under.",
            ),
            Panel(
                "Allowed by policy",
                "ops",
                {"{{policy}}": rate("rate_limit_decisions_total", "policy", 'outcome="allowed"')},
            ),
            Panel(
                "Denied by policy",
                "ops",
                {"{{policy}}": rate("rate_limit_decisions_total", "policy", 'outcome="denied"')},
                "A request that two policies deny counts under both.",
            ),
        ],
    ),
    "business": (
        "Business",
        [
            Panel(
                "Activities an hour", "short", {"activities": f"sum(increase(activities_created_total{{{ON}}}[1h]))"}
            ),
            Panel("New users a day", "short", {"users": f"sum(increase(users_registered_total{{{ON}}}[1d]))"}),
            Panel("Photos an hour", "short", {"photos": f"sum(increase(photos_uploaded_total{{{ON}}}[1h]))"}),
        ],
    ),
    "jobs": (
        "Jobs",
        [
            Panel("Waiting", "short", {"{{queue}}": f"max by (queue) (background_jobs_waiting{{{ON}}})"}, stat=True),
            Panel(
                "Longest wait",
                "s",
                {"{{queue}}": f"max by (queue) (background_jobs_oldest_seconds{{{ON}}})"},
                "For how long the job that waits longest has been due.",
                stat=True,
            ),
            Panel(
                "Overdue deletions",
                "s",
                {"{{what}}": f"max by (what) (purge_overdue_seconds{{{ON}}})"},
                "For how long something should have been deleted for good, that is there still.",
                stat=True,
            ),
            Panel("Runs by task", "ops", {"{{task}}": rate(f"{JOBS}_total", "task")}),
            Panel("Runs by outcome", "ops", {"{{outcome}}": rate(f"{JOBS}_total", "outcome")}),
            Panel("Failed by task", "ops", {"{{task}}": rate(f"{JOBS}_total", "task", 'outcome="failed"')}),
            Panel(
                "Mean time of a run",
                "s",
                {"{{task}}": ratio(rate(f"{JOB}_sum", "task"), rate(f"{JOB}_count", "task"))},
            ),
            Panel("Time spent", "percentunit", {"{{task}}": rate(f"{JOB}_sum", "task")}, "Of one process."),
        ],
    ),
    "live": (
        "Changes and live feed",
        [
            Panel("WebSockets", "none", {"connections": sampled("websocket_connections", "sum")}, stat=True),
            Panel("Event streams", "none", {"streams": sampled("event_streams", "sum")}, stat=True),
            Panel("Told after", "s", {"p95": quantile(0.95, LIVE)}, stat=True),
            Panel("Changes by kind", "ops", {"{{kind}}": rate("changes_written_total", "kind")}),
            Panel(
                "WebSockets by worker",
                "short",
                {"{{instance}} {{worker}}": f"sum by (instance, worker) (websocket_connections{{{ON}}})"},
            ),
            Panel(
                "From a change to its being told",
                "s",
                {"p50": quantile(0.5, LIVE), "p95": quantile(0.95, LIVE), "p99": quantile(0.99, LIVE)},
                "While Redis is down, up to a second.",
            ),
            Panel("Changes told", "ops", {"told": rate(f"{LIVE}_count")}),
        ],
    ),
    "stores": (
        "Stores",
        [
            Panel("Queries", "ops", {"all": rate(f"{DB}_count")}, stat=True),
            Panel("Connections in use", "none", {"used": f'sum(db_pool_connections{{{ON}, state="used"}})'}, stat=True),
            Panel("Requests waiting for one", "none", {"waiting": sampled("db_pool_waiting", "sum")}, stat=True),
            Panel("Queries by name", "ops", {"{{query}}": rate(f"{DB}_count", "query")}),
            Panel("Query duration", "s", {"p50": quantile(0.5, DB), "p99": quantile(0.99, DB)}),
            Panel("p99 by query", "s", {"{{query}}": quantile(0.99, DB, "le, query")}),
            Panel(
                "Pool", "short", {"{{instance}} {{state}}": f"sum by (instance, state) (db_pool_connections{{{ON}}})"}
            ),
            Panel("Waiting", "short", {"{{instance}}": f"sum by (instance) (db_pool_waiting{{{ON}}})"}),
            Panel("Oldest pending invalidation", "s", {"age": sampled("cache_outbox_oldest_seconds")}),
        ],
    ),
}


def dashboard(name: str) -> dict[str, Any]:
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"fitness-{name}",
        "title": title,
        "tags": ["fitness"],
        "timezone": "browser",
        "schemaVersion": 41,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [{"title": "fitness", "type": "dashboards", "tags": ["fitness"], "asDropdown": True}],
        "templating": {"list": [_instances()]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _instances() -> dict[str, Any]:
    query = 'label_values(build_info{job="fitness"}, instance)'
    return {
        "name": "instance",
        "label": "Instance",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "instances"},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, ACROSS)
    shared = {
        "id": number + 1,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": row * HEIGHT},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for at, (legend, query) in enumerate(panel.queries.items())
        ],
    }
    defaults = {"unit": panel.unit, "min": 0}
    if panel.stat:
        options: dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
        return shared | {"type": "stat", "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    custom = {"custom": {"fillOpacity": 10, "showPoints": "never", "spanNulls": True}}
    return shared | {
        "type": "timeseries",
        "fieldConfig": {"defaults": defaults | custom, "overrides": []},
        "options": options,
    }


def written(name: str) -> str:
    return json.dumps(dashboard(name), indent=2) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(written(name))


if __name__ == "__main__":
    main()
