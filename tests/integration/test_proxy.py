"""The proxy that docker-compose runs, in front of the service. Not collected where nginx is not installed."""

import gzip
import http.server
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from ops.local.network import QuietHandler, accepts, free_port
from ops.local.proxy import Proxy, proxy
from ops.local.service import FITNESS, own_folder
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.patience import PATIENCE_S

READ_AHEAD_S = 0.5
"""A proxy that reads ahead has the whole archive by then."""

ARCHIVE_BYTES = 64_000_000
"""Several times what the kernel keeps of a connection."""

_numbers = count(1)


@contextmanager
def running() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a service in memory, and its process."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FITNESS_")}
    given = {
        "DATABASE_URL": "memory:",
        "REDIS_URL": "memory:",
        "PORT": str(port),
        "METRICS_PORT": "0",
        "TRUSTED_PROXIES": "127.0.0.1/32",
    }
    process = subprocess.Popen(
        [FITNESS, "serve"],
        env=kept | {f"FITNESS_{name}": value for name, value in given.items()},
        stderr=subprocess.DEVNULL,
    )
    give_up_s = time.monotonic() + PATIENCE_S
    while not accepts("127.0.0.1", port):
        assert process.poll() is None
        assert time.monotonic() < give_up_s
        time.sleep(0.05)
    try:
        yield f"127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with running() as (address, _):
        yield address


@pytest.fixture
def behind() -> Iterator[Proxy]:
    """A proxy whose only replica does not answer."""
    with own_folder() as folder, proxy(folder, free_port(), [f"127.0.0.1:{free_port()}"]) as one:
        yield one


@pytest.fixture(scope="module")
def edge(service: str) -> Iterator[Proxy]:
    with own_folder() as folder, proxy(folder, free_port(), [service]) as one:
        yield one


@pytest.fixture
def client(edge: Proxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{edge.port}") as client:
        yield client


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == ("nosniff", "no-store")
    body = answer.json()
    assert body.keys() == {"type", "title", "status", "detail", "code"}
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:fitness:problem:{code}")


def last_line(one: Proxy, request_id: str) -> dict[str, Any]:
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s:
        lines: list[dict[str, Any]] = [json.loads(line) for line in one.log.read_text().splitlines()]
        if found := [line for line in lines if line["request_id"] == request_id]:
            return found[-1]
        time.sleep(0.02)
    raise AssertionError(f"no line with the request id {request_id}")


def logged_in(client: httpx.Client) -> str:
    """An access token of somebody new."""
    account = {"email": f"runner{next(_numbers)}@example.org", "password": "correct horse"}
    assert client.post("/api/v1/auth/register", json=account).status_code == 201
    token: str = client.post("/api/v1/auth/login", json=account).json()["access_token"]
    return token


def record(client: httpx.Client, token: str) -> int:
    body = {"activity_type": "run", "activity_date": "2026-05-01T08:00:00Z", "duration_minutes": 30}
    answer = client.post("/api/v1/activities", json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 201
    activity_id: int = answer.json()["id"]
    return activity_id


class Counting(QuietHandler):
    """A replica that counts the connections to it, and the requests by method."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    connections = 0
    posts = 0

    def setup(self) -> None:
        type(self).connections += 1
        super().setup()

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Ends without an answer, as one that is killed does."""
        type(self).posts += 1
        self.close_connection = True


@pytest.fixture
def replica() -> Iterator[tuple[type[Counting], str]]:
    handler = type("Handler", (Counting,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_many_requests_share_few_connections_to_a_replica(replica: tuple[type[Counting], str], tmp_path: Path):
    handler, address = replica
    with proxy(tmp_path, free_port(), [address]) as one, httpx.Client() as client:
        for _ in range(200):
            assert client.get(f"http://127.0.0.1:{one.port}/").status_code == 200
    assert handler.connections <= 4


def test_a_post_that_a_replica_may_have_carried_out_is_not_repeated(
    replica: tuple[type[Counting], str], tmp_path: Path
):
    handler, address = replica
    with proxy(tmp_path, free_port(), [address]) as one:
        answer = httpx.post(f"http://127.0.0.1:{one.port}/", json={})
    assert_problem(answer, 502, "bad_gateway")
    assert handler.posts == 1


def test_a_replica_is_told_the_client_and_an_if_match_that_compression_made_weak(
    replica: tuple[type[Counting], str], tmp_path: Path
):
    headers = {
        "X-Forwarded-For": "203.0.113.9, 192.0.2.1",
        "If-Match": 'W/"3"',
        "Upgrade": "h2c",
        "X-Request-ID": "a b",
    }
    with proxy(tmp_path, free_port(), [replica[1]]) as one:
        told = httpx.get(f"http://127.0.0.1:{one.port}/", headers=headers, timeout=PATIENCE_S).json()
    assert told["x-forwarded-for"] == "192.0.2.1"
    assert told["if-match"] == '"3"'
    assert "upgrade" not in told
    assert "connection" not in told
    assert len(told["x-request-id"]) == 32


def test_a_get_that_meets_a_replica_that_is_gone_is_answered_by_another(
    replica: tuple[type[Counting], str], tmp_path: Path
):
    gone = f"127.0.0.1:{free_port()}"
    with proxy(tmp_path, free_port(), [gone, replica[1]]) as one, httpx.Client() as client:
        statuses = {client.get(f"http://127.0.0.1:{one.port}/").status_code for _ in range(20)}
    assert statuses == {200}


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/x/../metrics", "/./metrics", "/metrics?x", "/metrics;x"],
)
def test_metrics_are_not_there_however_they_are_spelt(edge: Proxy, path: str):
    asked = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-ID: spelt\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", edge.port)) as connection:
        connection.sendall(asked.encode())
        answer = connection.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 404 ")
    assert '"code":"not_found"' in answer
    assert last_line(edge, "spelt")["upstream"] == ""


def test_a_body_that_is_too_large_is_refused(client: httpx.Client):
    assert_problem(client.post("/api/v1/auth/login", content=b"x" * 1_000_001), 413, "body_too_large")


def test_an_address_that_is_too_long_is_refused(client: httpx.Client):
    assert_problem(client.get("/" + "a" * 9_000), 414, "address_too_long")


def test_headers_that_are_too_large_are_refused(client: httpx.Client):
    assert_problem(client.get("/", headers={"X-Long": "a" * 9_000}), 431, "headers_too_large")


def test_what_is_not_http_is_refused(client: httpx.Client):
    assert_problem(client.get("/", headers={"Host": "a b"}), 400, "malformed_request")


def test_without_a_replica_the_answer_is_a_problem_with_retry_after(behind: Proxy):
    answer = httpx.get(
        f"http://127.0.0.1:{behind.port}/health/live", headers={"X-Request-ID": "mine"}, timeout=PATIENCE_S
    )
    assert_problem(answer, 502, "bad_gateway")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-request-id"] == "mine"


def test_one_address_that_asks_too_much_is_limited_and_another_is_not(tmp_path: Path):
    """A request and a burst of 400. At one request a minute the limit does not refill while the test lasts."""
    asked = b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1\r\n"
    with proxy(tmp_path, free_port(), [f"127.0.0.1:{free_port()}"], rate="1r/m") as one:
        with socket.create_connection(("127.0.0.1", one.port)) as connection:
            connection.sendall((asked + b"\r\n") * 449 + asked + b"Connection: close\r\n\r\n")
            answers = connection.makefile("rb").read().decode().split("HTTP/1.1 ")[1:]
        other = httpx.get(
            f"http://127.0.0.1:{one.port}/", headers={"X-Forwarded-For": "198.51.100.2"}, timeout=PATIENCE_S
        )
    assert [answer[:4] for answer in answers] == ["502 "] * 401 + ["429 "] * 49
    assert "\r\nRetry-After: 1\r\n" in answers[-1]
    assert json.loads(answers[-1].partition("\r\n\r\n")[2])["code"] == "rate_limited"
    assert_problem(other, 502, "bad_gateway")


def test_a_line_says_who_asked_for_what_and_which_replica_answered(edge: Proxy, client: httpx.Client, service: str):
    headers = {"X-Request-ID": "line-1", "X-Forwarded-For": "203.0.113.9"}
    client.post("/api/v1/activities?secret=1", json={}, headers=headers)
    line = last_line(edge, "line-1")
    assert line.keys() == {
        "time", "address", "method", "path", "status", "seconds", "bytes_in", "bytes_out", "request_id",
        "upstream", "upstream_status", "upstream_seconds",
    }  # fmt: skip
    assert (line["address"], line["method"], line["path"]) == ("203.0.113.9", "POST", "/api/v1/activities")
    assert (line["status"], line["upstream"], line["upstream_status"]) == (401, service, "401")
    assert float(line["upstream_seconds"]) >= 0


def test_a_line_of_a_refusal_names_the_request_and_not_where_it_led(edge: Proxy, client: httpx.Client):
    client.post("/metrics?secret=1", headers={"X-Request-ID": "line-2"})
    line = last_line(edge, "line-2")
    assert (line["method"], line["path"], line["status"], line["upstream"]) == ("POST", "/metrics", 404, "")


def test_what_nginx_says_of_a_failure_has_no_query_string(behind: Proxy):
    answer = httpx.get(
        f"http://127.0.0.1:{behind.port}/api?q=secret&r=secret",
        headers={"Referer": "http://x/?secret"},
        timeout=PATIENCE_S,
    )
    assert_problem(answer, 502, "bad_gateway")
    give_up_s = time.monotonic() + PATIENCE_S
    while "Connection refused" not in (said := behind.errors.read_text()):
        assert time.monotonic() < give_up_s, said
        time.sleep(0.02)
    assert 'request: "GET /api?... HTTP/1.1"' in said
    assert "secret" not in said


def test_health_checks_leave_no_line_while_they_succeed(edge: Proxy, client: httpx.Client):
    client.get("/health/live", headers={"X-Request-ID": "health-1"})
    client.get("/metrics", headers={"X-Request-ID": "after-1"})
    last_line(edge, "after-1")
    assert "health-1" not in edge.log.read_text()


def test_long_answers_are_compressed_and_short_ones_are_not(edge: Proxy, client: httpx.Client):
    with client.stream("GET", "/openapi.json", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"].lower()
    assert json.loads(gzip.decompress(raw))["openapi"]
    assert "content-encoding" not in client.get("/health/live").headers


def test_a_websocket_is_told_changes_in_order_and_when_its_replica_ends(tmp_path: Path):
    with (
        running() as (address, process),
        proxy(tmp_path, free_port(), [address]) as one,
        httpx.Client(base_url=f"http://127.0.0.1:{one.port}") as client,
    ):
        token = logged_in(client)
        with connect(f"ws://127.0.0.1:{one.port}/api/v1/live") as follower:
            follower.send(json.dumps({"token": token}))
            assert json.loads(follower.recv(PATIENCE_S))["type"] == "following"
            made = [record(client, token) for _ in range(5)]
            told = [json.loads(follower.recv(PATIENCE_S))["change"]["activity_id"] for _ in made]
            assert told == made
            process.terminate()
            with pytest.raises(ConnectionClosed) as closed:
                follower.recv(PATIENCE_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


def test_server_sent_events_are_passed_on_as_they_come(client: httpx.Client):
    """Each while the stream is open, which ends only when the client leaves."""
    token = logged_in(client)
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
    with client.stream("GET", "/api/v1/live", headers=headers, timeout=PATIENCE_S) as stream:
        lines = stream.iter_lines()
        assert next_event(lines) == ("following", {})
        for _ in range(3):
            activity_id = record(client, token)
            name, data = next_event(lines)
            assert (name, data["activity_id"]) == ("change", activity_id)
    assert "content-encoding" not in stream.headers


def next_event(lines: Iterator[str]) -> tuple[str, dict[str, Any]]:
    found = dict[str, str]()
    for line in lines:
        if not line:
            return found["event"], json.loads(found["data"])
        name, _, value = line.partition(": ")
        found[name] = value
    raise AssertionError("the stream ended")


class Following(QuietHandler):
    """A replica whose feed stays silent until it is told to end, and that has a large archive."""

    protocol_version = "HTTP/1.1"
    following: threading.Semaphore
    over: threading.Event
    sent: threading.Event
    left: threading.Event

    def do_GET(self) -> None:
        if self.path == "/api/v1/live":
            self.following.release()
            self.over.wait(PATIENCE_S)
        self.send_response(200)
        if self.path == "/archive":
            self._send_archive()
            return
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_archive(self) -> None:
        self.send_header("X-Accel-Buffering", "no")
        self.send_header("Content-Length", str(ARCHIVE_BYTES))
        self.end_headers()
        try:
            self.wfile.write(bytes(ARCHIVE_BYTES))
            self.sent.set()
        except OSError:
            self.left.set()
            self.close_connection = True


@pytest.fixture
def followed() -> Iterator[tuple[type[Following], str]]:
    events = {name: threading.Event() for name in ("over", "sent", "left")}
    handler: type[Following] = type("Handler", (Following,), events | {"following": threading.Semaphore(0)})
    server = type("Server", (http.server.ThreadingHTTPServer,), {"request_queue_size": 300})(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, f"127.0.0.1:{server.server_port}"
    handler.over.set()
    server.shutdown()
    server.server_close()


def test_an_address_with_many_connections_to_the_live_feed_can_go_on_asking(
    followed: tuple[type[Following], str], tmp_path: Path
):
    handler, address = followed
    with proxy(tmp_path, free_port(), [address]) as one, ExitStack() as open_ones:
        for _ in range(200):
            follower = open_ones.enter_context(socket.create_connection(("127.0.0.1", one.port)))
            follower.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert handler.following.acquire(timeout=PATIENCE_S)
        assert_problem(httpx.get(f"http://127.0.0.1:{one.port}/api/v1/live", timeout=PATIENCE_S), 429, "rate_limited")
        assert httpx.get(f"http://127.0.0.1:{one.port}/", timeout=PATIENCE_S).status_code == 200


def test_a_replica_sees_when_the_client_of_an_archive_leaves(followed: tuple[type[Following], str], tmp_path: Path):
    """The proxy does not read ahead, else the archive would count as downloaded."""
    handler, address = followed
    with proxy(tmp_path, free_port(), [address]) as one:
        with socket.create_connection(("127.0.0.1", one.port)) as client:
            client.sendall(b"GET /archive HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1_000).startswith(b"HTTP/1.1 200 ")
            assert not handler.sent.wait(READ_AHEAD_S)
        assert handler.left.wait(PATIENCE_S)
