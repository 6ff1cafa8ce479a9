"""What operators run beside the service: every expression parses and asks for a metric there is."""

import json
import math
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from ops.grafana.make import DASHBOARDS, FOLDER, written
from ruamel.yaml import YAML

from fitness.adapters.embedded.engines import PRIVATE_LOG_SETTINGS, SERVICE
from fitness.adapters.observed.cache_state import REASONS
from fitness.adapters.telemetry.instruments import JOB_OUTCOMES, OUTCOMES
from fitness.adapters.telemetry.table import INSTRUMENTS, REQUEST_BUCKETS_S
from fitness.domain.model.jobs import Queue, Task
from fitness.domain.use_cases.caching.keys import KINDS
from fitness.entrypoints.http import kinds
from fitness.entrypoints.http.bodies import MAX_BODY_BYTES
from fitness.entrypoints.http.live import BEAT_S
from fitness.entrypoints.http.uploads import MAX_PHOTO_UPLOAD_BYTES, MAX_UPLOAD_BYTES
from fitness.entrypoints.server.deadlines import IDLE_S
from fitness.entrypoints.server.websocket import PING_S
from fitness.ports.cache import INTERNAL_KINDS

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "ops" / "prometheus"

# Prometheus's own.
FOREIGN = {"up", "ALERTS", "scrape_samples_scraped"}


def loaded(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def loaded_all(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path.read_text()))


def alerts() -> list[dict[str, Any]]:
    return [rule for group in loaded(PROMETHEUS / "rules.yml")["groups"] for rule in group["rules"]]


def metrics() -> set[str]:
    """Every series' name, as the README's table lists them."""
    rows = re.findall(
        r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    names = {name for name, kind in rows if kind != "histogram"}
    return names | {
        f"{name}_{part}" for name, kind in rows if kind == "histogram" for part in ("bucket", "sum", "count")
    }


def panels() -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, panel) for name in DASHBOARDS for panel in json.loads((FOLDER / f"{name}.json").read_text())["panels"]
    ]


def test_the_readme_names_the_kinds_of_copies_that_reads_are_counted_under():
    [said] = re.findall(r"^\| `cache_hits_total` \|.*\|(.*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", said)) == {*KINDS}


def test_the_readme_names_every_dashboard():
    readme = (ROOT / "README.md").read_text().replace("\n", " ")
    [said] = re.findall(r"made by `python -m ops\.grafana\.make`\): (.*?)\. ", readme)
    assert said.split(", ") == [title for title, _ in DASHBOARDS.values()]


def assert_askable(expression: str) -> None:
    plain = expression.replace("$__rate_interval", "5m").replace("$instance", ".*")
    promql_parser.parse(plain)
    asked = set(re.findall(r"\b([a-zA-Z_]+)\{", plain)) | set(re.findall(r"^(\w+) ==", plain))
    assert asked <= metrics() | FOREIGN, expression


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_can_be_asked_and_says_what_to_do(alert: dict[str, Any]):
    assert_askable(alert["expr"])
    assert alert["labels"]["severity"] in {"page", "ticket", "none"}
    assert {"summary", "description", "runbook"} == alert["annotations"].keys()
    page = (ROOT / alert["annotations"]["runbook"]).read_text()
    assert page.startswith(f"# {alert['alert']}\n")
    assert "**What to do**" in page


def test_every_alert_has_three_cases_and_every_page_an_alert():
    cases = [
        case["name"].partition(":")[0]
        for file in ("rules.test.yml", "burn.test.yml")
        for case in loaded(PROMETHEUS / file)["tests"]
    ]
    names = {alert["alert"] for alert in alerts()}
    assert set(cases) == names
    assert all(cases.count(name) >= 3 for name in names)
    assert {page.stem for page in (ROOT / "ops" / "runbooks").glob("*.md")} == names


def test_the_cases_are_made_of_series_as_the_service_shows_them():
    """What a case invents cannot show that an alert fires in production."""
    labels = {row.name: {*row.labels} for row in INSTRUMENTS}
    for file in ("rules.test.yml", "burn.test.yml"):
        for case in loaded(PROMETHEUS / file)["tests"]:
            for series in (one["series"] for one in case["input_series"]):
                name, _, rest = series.partition("{")
                given = dict(re.findall(r'(\w+)="([^"]*)"', rest))
                metric = re.sub(r"_(bucket|sum|count)$", "", name)
                if name in FOREIGN or "otel_metric_overflow" in given:
                    continue
                assert given.keys() <= labels[metric] | {"job", "instance", "worker", "le"}, series
                assert given.get("cache", "activity") in {*KINDS, *INTERNAL_KINDS}, series
                assert given.get("cache") not in INTERNAL_KINDS or metric == "cache_internal_reads_total", series
                assert given.get("reason", REASONS[0]) in REASONS, series
                outcomes = JOB_OUTCOMES if metric.startswith("background_jobs") else OUTCOMES
                assert given.get("outcome", outcomes[0]) in outcomes, series
                assert given.get("task", "empty_trash") in {*Task}, series
                assert given.get("queue", "prompt") in {*Queue}, series
                assert float(given.get("le", "inf")) in {*REQUEST_BUCKETS_S, math.inf}, series


@pytest.mark.parametrize(
    ("dashboard", "panel"), panels(), ids=lambda one: one if isinstance(one, str) else one["title"]
)
def test_a_panel_asks_for_what_there_is_with_unit_and_legend(dashboard: str, panel: dict[str, Any]):
    assert panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert_askable(target["expr"])


@pytest.mark.parametrize(
    ("dashboard", "panel"), panels(), ids=lambda one: one if isinstance(one, str) else one["title"]
)
def test_what_is_shown_as_requests_counts_requests(dashboard: str, panel: dict[str, Any]):
    """And shares are shares of them: a request has several decisions of the limiter, one for each policy."""
    if panel["fieldConfig"]["defaults"]["unit"] in {"reqps", "percentunit"}:
        for target in panel["targets"]:
            assert "rate_limit_decisions" not in target["expr"]


EXPRESSIONS = {alert["alert"]: alert["expr"] for alert in alerts()} | {
    f"{dashboard}: {panel['title']} {target['refId']}": target["expr"]
    for dashboard, panel in panels()
    for target in panel["targets"]
}

PROBED = "/health/ready"
MATCHES: dict[str, Callable[[str], bool]] = {
    "=": lambda asked: asked == PROBED,
    "!=": lambda asked: asked != PROBED,
    "=~": lambda asked: re.fullmatch(asked, PROBED) is not None,
    "!~": lambda asked: re.fullmatch(asked, PROBED) is None,
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_probes_are_in_no_sum_of_requests(expression: str):
    """What a stopping replica answers them would pass for failures, and all of them for traffic."""
    sums = re.findall(r"""(?:sum by \(([^)]*)\) \()?rate\(http_request\w+\{((?:"[^"]*"|[^"}])*)\}""", expression)
    assert len(sums) == expression.count("rate(http_")
    for by, labels in sums:
        matchers = re.findall(r"""endpoint(=~|!~|!=|=)"([^"]*)\"""", labels)
        assert "endpoint" in by or not all(MATCHES[how](asked) for how, asked in matchers), labels


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_dashboards_are_as_they_were_made(name: str):
    assert (FOLDER / f"{name}.json").read_text() == written(name)


def test_the_example_settings_are_those_that_compose_asks_for():
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^(\w+)=", example, re.MULTILINE)) == asked
    assert not re.search(r"(PASSWORD|KEYS|URL)=.", example)


def proxy_directives() -> Iterator[tuple[str, str, list[str]]]:
    """Of nginx.conf: the block around each directive, as it is opened there, the directive's name and its arguments."""
    text = re.sub(r"^\s*#.*$", "", (ROOT / "ops" / "proxy" / "nginx.conf").read_text(), flags=re.MULTILINE)
    blocks, words = [""], list[str]()
    for token in re.findall(r""""[^"]*"|'[^']*'|[{};]|[^\s{};"']+""", text):
        if token == "{":
            blocks.append(" ".join(words))
        elif token == "}":
            blocks.pop()
        elif token == ";":
            yield blocks[-1], words[0], [word.strip("\"'") for word in words[1:]]
        if token in "{};":
            words = []
        else:
            words.append(token)


def proxy_says(block: str, name: str) -> list[list[str]]:
    return [arguments for where, what, arguments in proxy_directives() if (where, what) == (block, name)]


def test_the_proxy_keeps_its_connections_to_the_replicas_and_closes_them_first():
    assert proxy_says("upstream api", "keepalive") == [["64"]]
    [[idle]] = proxy_says("upstream api", "keepalive_timeout")
    assert int(idle.removesuffix("s")) < IDLE_S
    assert proxy_says("server", "proxy_http_version") == [["1.1"]]
    assert ["Connection", "$connection_header"] in proxy_says("server", "proxy_set_header")
    assert proxy_says("map $upgrade $connection_header", "default") == [[""]]
    passed = [arguments for _, name, arguments in proxy_directives() if name == "proxy_pass"]
    assert passed == [["http://api"]] * 4


def test_the_proxy_takes_no_connection_to_the_live_feed_for_dead_that_is_only_silent():
    [[patience]] = proxy_says("server", "proxy_read_timeout")
    assert not proxy_says("location ~ ^/api/v1/live/?$", "proxy_read_timeout")
    assert int(patience.removesuffix("s")) >= max(PING_S, BEAT_S) + 5  # after a ping is due it may take a second


def test_the_proxy_looks_the_replicas_up_again():
    [server] = proxy_says("upstream api", "server")
    assert server[:2] == ["api:8000", "resolve"]
    assert proxy_says("upstream api", "zone")
    assert proxy_says("http", "resolver") == [["127.0.0.11", "valid=5s", "ipv6=off"]]
    image = loaded(ROOT / "docker-compose.yml")["services"]["proxy"]["image"]
    version = re.match(r"nginx:(\d+)\.(\d+)", image)
    assert version is not None
    assert (int(version[1]), int(version[2])) >= (1, 28)


def test_the_proxy_repeats_no_change_that_may_have_been_carried_out():
    assert proxy_says("server", "proxy_next_upstream") == [["error", "timeout"]]
    inside = [block for block, name, _ in proxy_directives() if name == "proxy_next_upstream"]
    assert inside == ["server"]


def test_the_proxy_admits_bodies_as_large_as_the_service_does():
    assert proxy_says("server", "client_max_body_size") == [[str(MAX_BODY_BYTES)]]
    imports = proxy_says("location = /api/v1/activities/import", "client_max_body_size")
    assert imports == [[str(MAX_UPLOAD_BYTES)]]
    photos = proxy_says("location ~ ^/api/v1/activities/[0-9]+/photos/?$", "client_max_body_size")
    assert photos == [[str(MAX_PHOTO_UPLOAD_BYTES)]]


def test_the_proxys_refusals_are_problems_that_the_readme_lists():
    refusals = [word for arguments in proxy_says("server", "error_page") for word in arguments]
    assert refusals[-1] == "/problem"
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", readme, re.MULTILINE)
    rows += [(kind.code, str(kind.status)) for kind in kinds.KINDS.values()]
    titles = {kind.code: kind.title for kind in kinds.KINDS.values()}
    maps = {
        name: {what: arguments for where, what, arguments in proxy_directives() if where == f"map $status ${name}"}
        for name in ("code", "title", "detail")
    }
    assert maps["code"].keys() == maps["title"].keys() == maps["detail"].keys()
    for status, [code] in maps["code"].items():
        if status != "default":
            assert status in refusals or f"={status}" in refusals
            assert (code, status) in rows
        assert maps["title"][status] == [titles.get(code, maps["title"][status][0])]


def test_the_proxy_shows_no_metrics_and_logs_no_query_string():
    assert proxy_says("location /metrics", "return") == [["404"]]
    [line] = proxy_says("http", "log_format")
    assert not set(re.findall(r"\$(\w+)", " ".join(line))) & {"request", "request_uri", "args", "query_string"}
    assert proxy_says("http", "access_log") == [["/dev/stdout", "line", "if=$logged"]]


def test_in_production_only_the_migration_connects_as_the_owner_of_the_tables():
    services = loaded(ROOT / "docker-compose.yml")["services"]
    by_role = {
        name: {variable for variable, value in service.get("environment", {}).items() if "//fitness:" in str(value)}
        for name, service in services.items()
    }
    assert {name: found for name, found in by_role.items() if found} == {"migrate": {"FITNESS_MIGRATE_DATABASE_URL"}}
    urls = {services[name]["environment"]["FITNESS_DATABASE_URL"] for name in ("api", "migrate")}
    assert {url.partition(":$")[0] for url in urls} == {f"postgresql://{SERVICE}"}
    pod = loaded_all(ROOT / "ops" / "kubernetes" / "fitness.yaml")[0]["spec"]["template"]["spec"]
    assert "fitness-owner" in str(pod["initContainers"])
    assert "fitness-owner" not in str(pod["containers"])


def test_no_postgresql_that_we_set_up_logs_values():
    command = loaded(ROOT / "docker-compose.yml")["services"]["postgres"]["command"]
    assert {*PRIVATE_LOG_SETTINGS} <= {*command}


def test_compose_opens_no_port_to_the_world():
    services = loaded(ROOT / "docker-compose.yml")["services"]
    ports = chain.from_iterable(service.get("ports", ()) for service in services.values())
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert all(":" in service.get("image", "x:1") for name, service in services.items() if "build" not in service)
