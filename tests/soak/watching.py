"""Whether a real Prometheus sees what happens: every expression answers, every request counts, alerts get through.

    python -m tests.soak.watching [--seconds 60]

First it scrapes a service of 4 workers under mixed traffic each second. Then, with shorter times in the rules, a real
Alertmanager and a webhook, it watches a service whose cache is starved, closed and lost, and an imitated service with
given errors and durations. Exits with 1 if an expression fails, is empty or NaN, if a request was not counted, or if an
alert came that should not have come, or the reverse.
"""

import argparse
import asyncio
import itertools
import json
import math
import random
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ops.grafana.make import DASHBOARDS
from ops.local.client import Client, logged_in
from ops.local.network import QuietHandler, listening
from ops.local.service import engines, serving
from ops.production import OPS, sink, watching
from redis import Redis

CLIENTS = 8
REQUESTS = 10_000
MOST_SERIES = 2_000
GPX = """<?xml version="1.0"?>
<gpx version="1.1" creator="watch" xmlns="http://www.topografix.com/GPX/1/1"><trk><type>running</type><trkseg>
<trkpt lat="47.0" lon="8.0"><ele>400</ele><time>2026-05-02T08:00:00Z</time></trkpt>
<trkpt lat="47.01" lon="8.0"><ele>410</ele><time>2026-05-02T08:10:00Z</time></trkpt>
</trkseg></trk></gpx>"""
BODY = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}

# The shorter times that the rules get.
FASTER = {
    "3d": "60s",
    "6h": "30s",
    "2h": "25s",
    "1h": "20s",
    "30m": "15s",
    "15m": "4s",
    "10m": "15s",
    "5m": "15s",
    "2m": "3s",
    "1m": "3s",
}


def asked(prometheus: str, expression: str) -> list[dict[str, Any]]:
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{query}", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


def expressions() -> Iterator[tuple[str, str]]:
    """Those of all panels, and of all rules without their thresholds, with which a healthy service has no result."""
    for name, (_, panels) in DASHBOARDS.items():
        for panel in panels:
            for query in panel.queries.values():
                yield f"{name}: {panel.title}", query.replace("$__rate_interval", "30s").replace("$instance", ".*")
    rules = (OPS / "prometheus" / "rules.yml").read_text()
    for alert, text in re.findall(r"alert: (\w+)\n\s+expr: \|-\n(.*?)\n\s+(?:for|labels):", rules, re.DOTALL):
        for part in re.split(r"\n\s+(?:and|or) ", text):
            if alert != "MetricOverflow" and not re.search("absent|unless", part):  # these are empty while all is well
                yield f"alert {alert}", re.sub(r" (>|==) [\d.]+$", "", part.strip())


def imports_one(port: int, token: str) -> None:
    """Import a file; every import after the first one is refused as a duplicate."""
    head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.gpx"\r\n\r\n'
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "multipart/form-data; boundary=b"}
    url = f"http://127.0.0.1:{port}/api/v1/activities/import"
    asked = urllib.request.Request(url, f"{head}{GPX}\r\n--b--\r\n".encode(), headers)
    try:
        urllib.request.urlopen(asked, timeout=10).close()
    except urllib.error.HTTPError as refusal:
        if refusal.code != 409:
            raise


async def traffic(port: int, seconds: float) -> None:
    """Many kinds of requests from several clients, some with mistakes."""
    stop_s = time.monotonic() + seconds
    tokens = [await logged_in(port, f"watch{number}@example.org") for number in range(3)]

    async def one(token: str) -> None:
        client = Client(port, token)
        while time.monotonic() < stop_s:
            made = (await client.ask("POST", "/activities", BODY)).json()
            path = f"/activities/{made['id']}"
            for method, where, body in [
                ("GET", path, None),
                ("GET", path, None),
                ("GET", "/activities", None),
                ("GET", "/activities", None),
                ("PATCH", path, {"title": "changed"}),
                ("PATCH", path, {"title": 3}),
                ("GET", "/activities/999999", None),
                ("DELETE", path, None),
                ("GET", path, None),
                ("POST", f"{path}/restore", None),
            ]:
                await client.ask(method, where, body)
            await asyncio.sleep(0.05)
        client.close()

    async def imports() -> None:
        while time.monotonic() < stop_s:
            await asyncio.to_thread(imports_one, port, tokens[0])
            await asyncio.sleep(1)

    await asyncio.gather(imports(), *(one(random.choice(tokens)) for _ in range(CLIENTS)))


async def exactly(port: int) -> None:
    """REQUESTS requests, half of them to random paths with random methods."""

    async def share() -> None:
        client = Client(port)
        for number in range(REQUESTS // CLIENTS):
            if number % 2:
                await client.ask("GET", "/rate-limit")
            else:
                method = random.choice(["GET", "POST", "PUT", "DELETE", "BREW", "LINK", "PURGE"])
                await client.ask(method, f"/{random.getrandbits(30):x}/{random.getrandbits(10)}")
        client.close()

    await asyncio.gather(*(share() for _ in range(CLIENTS)))


def total(prometheus: str) -> float:
    """All counted requests; scrapes are not among them."""
    time.sleep(3)
    (found,) = asked(prometheus, "sum(http_requests_total)")
    return float(found["value"][1])


def see(seconds: float) -> list[str]:
    wrong = []
    with engines() as urls, serving(urls, WORKERS="4", JOB_WORKERS="1", RATE_LIMIT_SCALE="1000") as instance:
        ignored = sink(lambda *_: None)
        with ignored as webhook, watching([f"127.0.0.1:{instance.metrics_port}"], webhook, every="1s") as watchers:
            asyncio.run(traffic(instance.port, seconds))
            checked = 0
            for name, expression in expressions():
                found = asked(watchers.prometheus, expression)
                numbers = [float(one["value"][1]) for one in found]
                checked += 1
                if not numbers or any(map(math.isnan, numbers)):
                    wrong.append(f"{name}: {'not a number' if numbers else 'empty'}: {expression}")
            before = total(watchers.prometheus)
            asyncio.run(exactly(instance.port))
            counted = total(watchers.prometheus) - before
            if counted != REQUESTS:
                wrong.append(f"{counted:.0f} of {REQUESTS} requests were counted")
            (series,) = asked(watchers.prometheus, 'count({job="fitness"})')
            if int(series["value"][1]) > MOST_SERIES:
                wrong.append(f"{series['value'][1]} series")
            if asked(watchers.prometheus, '{__name__=~"target_info|otel_.*"} or {otel_scope_name!=""}'):
                wrong.append("the exporter's own series")
            print(f"{checked} expressions asked, {counted:.0f} requests counted, {series['value'][1]} series")
    return wrong


IMPORT = 'endpoint="/api/v1/activities/import"'

Alarm = tuple[str, str]
"""An alert's name, and the kind of copy that it is about, if any."""

OF_THE_CACHE = {"CacheMissRatioHigh", "CacheClosed", "CacheLeaseExpired", "RedisDegraded"}


WARM_UP_S = 10.0
"""Time for copies to be made, or for an outage to be noticed, so that each part begins in the state that it tests."""

WATCHED_S = 35.0

Busy = Callable[[Client], Awaitable[object]]

RECORDED = 60
LONG = {**BODY, "notes": "x" * 9_000}
ROOM_BYTES = 200_000
"""A sixth of the memory that these activities, and pages of one each, take in the cache."""


async def nothing(_: Client) -> None: ...


async def another_activity(client: Client) -> None:
    """Create an activity, which drops every list of its user, but no other activity."""
    assert (await client.ask("POST", "/activities", BODY)).status == 201


async def recorded(port: int, token: str) -> list[str]:
    client = Client(port, token)
    made = [(await client.ask("POST", "/activities", LONG)).json() for _ in range(RECORDED)]
    client.close()
    return [f"/activities/{activity['id']}" for activity in made]


async def reading(port: int, token: str, paths: list[str], seconds: float, busy: Busy) -> None:
    """Read each activity and its page in turn, again and again; a round takes some seconds."""
    client, stop_s = Client(port, token), time.monotonic() + seconds
    for number in itertools.cycle(range(RECORDED)):
        if time.monotonic() >= stop_s:
            break
        await busy(client)
        for path in (paths[number], f"/activities?limit=1&page={number + 1}"):
            answer = await client.ask("GET", path)
            assert answer.status == 200, answer.body
        await asyncio.sleep(0.02)
    client.close()


def starve() -> list[str]:
    """Check the alerts of a real cache while it is well, and while it fails in four ways."""
    wrong = []
    with engines() as urls, serving(urls, WORKERS="2", RATE_LIMIT_SCALE="1000") as instance:
        cache = Redis.from_url(urls.redis_url)
        token = asyncio.run(logged_in(instance.port, "starved@example.org"))
        paths = asyncio.run(recorded(instance.port, token))

        def while_it(how: str, *expected: Alarm, busy: Busy = nothing) -> None:
            came: set[Alarm] = set()

            def note(_: str, alert: dict[str, Any]) -> None:
                labels = alert["labels"]
                if labels["alertname"] in OF_THE_CACHE:
                    came.add((labels["alertname"], labels.get("cache", "")))

            target = f"127.0.0.1:{instance.metrics_port}"
            asyncio.run(reading(instance.port, token, paths, WARM_UP_S, busy))
            with sink(note) as webhook, watching([target], webhook, every="1s", rules=hurried):
                asyncio.run(reading(instance.port, token, paths, WATCHED_S, busy))
            print(f"cache {how}: {sorted(came)}", flush=True)
            if came != {*expected}:
                wrong.append(f"cache {how}: {came} came, not {expected}")

        while_it("is well")
        while_it("drops every list", ("CacheMissRatioHigh", "listing"), busy=another_activity)
        cache.flushall()
        cache.config_set("maxmemory", cache.info("memory")["used_memory"] + ROOM_BYTES)
        while_it("has too little memory", ("CacheMissRatioHigh", "activity"), ("CacheMissRatioHigh", "listing"))
        cache.config_set("maxmemory-policy", "noeviction")
        while_it("refuses writes", ("CacheClosed", ""), busy=another_activity)
        cache.config_set("maxmemory", 0)
        while_it("is well again")
        cache.client_pause(round((WARM_UP_S + WATCHED_S) * 1000))
        while_it("hangs, and nobody writes", ("RedisDegraded", ""))
    return wrong


class Imitation:
    """A service whose counters grow at given rates; its imports take 7 s."""

    def __init__(self, failed: float, slow: bool) -> None:
        self.failed = failed
        self.slow = slow
        self.began_s = time.monotonic()

    def text(self) -> str:
        requests = 1_000 * (time.monotonic() - self.began_s)
        failed = requests * self.failed
        # Two in a hundred take 1.9 s or 2.1 s.
        quick, below_2_s = requests * 0.98, requests * (0.98 if self.slow else 1)
        buckets = {"1.0": quick, "2.0": below_2_s, "2.5": requests, "+Inf": requests}
        lines = [
            f'http_requests_total{{status="200"}} {requests - failed}',
            f'http_requests_total{{status="500"}} {failed}',
        ]
        lines += [f'http_request_duration_seconds_bucket{{le="{le}"}} {count}' for le, count in buckets.items()]
        imports = requests / 10
        lines.append(f'http_requests_total{{{IMPORT},status="201"}} {imports}')
        for le, count in {"2.0": 0, "5.0": 0, "10.0": imports, "+Inf": imports}.items():
            lines.append(f'http_request_duration_seconds_bucket{{{IMPORT},le="{le}"}} {count}')
        return "\n".join(lines) + "\n"


@contextmanager
def imitated(service: Imitation) -> Iterator[str]:
    class Handler(QuietHandler):
        def do_GET(self) -> None:
            body = service.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as address:
        yield address


def hurried(rules: str) -> str:
    return re.sub(r"(?<=[\[ ])(\d+[smhd])(?=[\]\n])", lambda found: FASTER.get(found[1], found[1]), rules)


def delivered(failed: float, slow: bool, seconds: float) -> set[tuple[str, str]]:
    """Receivers and alerts that reached the webhook."""
    came: set[tuple[str, str]] = set()

    def note(receiver: str, alert: dict[str, Any]) -> None:
        came.add((receiver, alert["labels"]["alertname"]))

    with (
        imitated(Imitation(failed, slow)) as target,
        sink(note) as webhook,
        watching([target], webhook, every="1s", rules=hurried),
    ):
        time.sleep(seconds)
    return came


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60)
    given = options.parse_args()
    wrong = see(given.seconds) + starve()
    for failed, slow, pages in [(0.02, False, {"ErrorRateHigh"}), (0.009, False, set()), (0, True, {"LatencyHigh"})]:
        came = delivered(failed, slow, 45)
        got = {alert for receiver, alert in came if receiver == "page"} & {"ErrorRateHigh", "LatencyHigh"}
        print(f"{failed:.1%} failed, p99 {'2.1' if slow else '1.9'} s: {sorted(came)}")
        if got != pages:
            wrong.append(f"{failed:.1%} failed, slow {slow}: {got} came, not {pages}")
        for others in (("watchdog", "Watchdog"), ("ticket", "ImportLatencyHigh")):
            if others not in came:
                wrong.append(f"{others[1]} did not come through")
    print(*wrong, sep="\n")
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
