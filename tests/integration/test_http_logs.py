"""The line that each request leaves in the log, its id, and its spans where somebody collects them."""

import asyncio
import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from ops.local.network import QuietHandler, listening
from redis.asyncio import Redis

from fitness.adapters.embedded.engines import EngineUrls
from fitness.entrypoints.logs import FLUSH_S, configure_logs
from fitness.entrypoints.server.deadlines import BODY_WINDOW_S
from tests.harness.api import Api, Person, Stores, serving
from tests.harness.listening import listening as behind_listener
from tests.integration.test_http_metrics import scraped, value
from tests.patience import PATIENCE_S

Caught = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def caught() -> Iterator[Caught]:
    """The log's lines since it was asked last."""
    stream = io.StringIO()
    configure_logs("json", stream)

    def lines() -> list[dict[str, Any]]:
        text = stream.getvalue()
        stream.seek(0)
        stream.truncate()
        return [msgspec.json.decode(line) for line in text.splitlines()]

    yield lines
    logging.getLogger().handlers.clear()


async def test_a_request_leaves_one_line_with_its_route_and_caller(caught: Caught, api: Api, ann: Person):
    api.container.access_log().flush()
    caught()
    response = await ann.get("/activities/999", headers={"X-Request-ID": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"
    api.container.access_log().flush()
    (line,) = [line for line in caught() if line["logger"] == "fitness.access"]
    assert isinstance(line.pop("duration_ms"), float)
    assert str(line.pop("at")).endswith("Z")
    assert line == {
        "logger": "fitness.access",
        "level": "info",
        "message": "request",
        "method": "GET",
        "route": "/api/v1/activities/{activity_id}",
        "status": 404,
        "user_id": ann.id,
        "request_id": "abc-1",
    }


async def test_lines_for_people_say_the_same(api: Api, ann: Person):
    api.container.access_log().flush()
    stream = io.StringIO()
    configure_logs("text", stream)
    await ann.get("/activities/999", headers={"X-Request-ID": "abc-1"})
    logging.getLogger("fitness.other").info("request", extra={"method": "GET"})
    api.container.access_log().flush()
    logging.getLogger().handlers.clear()
    other, line = stream.getvalue().splitlines()
    assert re.fullmatch(
        rf"\S+Z \[info     \] request +\[fitness\.access\] duration_ms=[0-9.]+ method=GET request_id=abc-1 "
        rf"route=/api/v1/activities/{{activity_id}} status=404 user_id={ann.id}",
        line,
    )
    assert line.index("[fitness.") == other.index("[fitness.")  # in one column with what others log


async def test_lines_wait_for_others_no_longer_than_the_flush(caught: Caught, api: Api, ann: Person):
    api.container.access_log().flush()
    caught()
    await ann.get("/activities")
    assert caught() == []
    async with asyncio.timeout(PATIENCE_S):
        while not caught():  # noqa: ASYNC110 - written by a timer of the application's own
            await asyncio.sleep(FLUSH_S / 10)


@pytest.mark.parametrize("given", [None, "x" * 129, "with space", ""])
async def test_a_request_without_a_proper_id_is_given_one(api: Api, given: str | None):
    headers = {} if given is None else {"X-Request-ID": given}
    ids = {(await api.http.get("/health/live", headers=headers)).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(one) == 32 for one in ids)


async def test_what_goes_wrong_in_a_request_is_logged_under_its_id(caught: Caught, own_api: Api):
    own_api.container.access_tokens().verify = None  # type: ignore[assignment, method-assign]
    response = await own_api.http.get(
        "/api/v1/users/me", headers={"Authorization": "Bearer x", "X-Request-ID": "abc-2"}
    )
    assert response.status_code == 500
    (line,) = [line for line in caught() if line["level"] == "error"]
    assert line["request_id"] == "abc-2"
    assert "TypeError" in str(line["exception"])


@pytest.mark.parametrize("path", ["/api/v1/auth/login", "/api/v1/activities"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_the_server_refuses_is_counted_and_logged_with_the_status_of_its_answer(
    caught: Caught, own_api: Api, path: str, chunked: bool
):
    ann = await own_api.person()
    status, framing = (400, "Transfer-Encoding: chunked") if chunked else (408, "Content-Length: 100")
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{framing}\r\n"
    own_api.container.access_log().flush()
    caught()
    async with behind_listener(own_api.app) as (listener, port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{head}Authorization: Bearer {ann.token}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert b" 100 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        if chunked:
            writer.write(b"no chunk")
        else:
            listener.look(asyncio.get_running_loop().time() + BODY_WINDOW_S + 1)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    own_api.container.access_log().flush()
    lines = [line for line in caught() if line["logger"] == "fitness.access"]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [("POST", path, status)]
    assert value(await scraped(own_api), "http_requests_total", endpoint=path, status=str(status)) == 1


def test_a_traceback_shows_no_values_for_there_may_be_passwords_among_them():
    stream = io.StringIO()
    configure_logs("text", stream)
    password = "hunter2"
    try:
        raise RuntimeError("boom" if password else "")
    except RuntimeError as error:
        logging.getLogger("x").error("failed", exc_info=error)
    logging.getLogger().handlers.clear()
    assert "RuntimeError: boom" in stream.getvalue()
    assert stream.getvalue().count("hunter2") == 0


async def test_machines_that_ask_every_few_seconds_leave_no_line(caught: Caught, api: Api):
    for path in ("/health/live", "/health/ready"):
        assert (await api.http.get(path)).status_code == 200
    api.container.access_log().flush()
    assert caught() == []


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Span]]]:
    """An OTLP endpoint, and the spans that reached it."""
    spans: list[Span] = []

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

    with listening(Handler) as address:
        yield f"http://{address}", spans


async def test_spans_of_a_request_and_of_the_ports_it_used_reach_the_collector(
    database_url: str,
    engines: EngineUrls,
    valkey: Redis,
    collector: tuple[str, list[Span]],
    monkeypatch: pytest.MonkeyPatch,
):
    endpoint, spans = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with serving(database_url, engines.redis_url, rate_limit_scale=100.0) as api:
        ann = await api.person()
        await ann.get("/activities", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    mine = {span.name: span for span in spans if span.trace_id.hex() == trace}
    (request,) = [span for span in spans if span.trace_id.hex() == trace and span.kind == Span.SPAN_KIND_SERVER]
    assert request.name == "GET /api/v1/activities"
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    for name in ("cache.read", "rate_limiter.acquire", "activities.list"):
        assert mine[name].trace_id == request.trace_id


async def test_each_request_has_one_span_whether_it_is_answered_from_the_cache_or_not(
    stores: Stores, collector: tuple[str, list[Span]], monkeypatch: pytest.MonkeyPatch
):
    endpoint, spans = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    async with serving(stores.database_url, stores.redis_url, rate_limit_scale=100.0) as api:
        ann = await api.person()
        path = f"/activities/{(await ann.record())['id']}"
        warm = await ann.get(path)
        assert warm.headers["x-cache"] == "HIT"
        cold = [await ann.get(path, headers={"If-None-Match": "x"}), await ann.get("/activities/999999")]
        assert [one.status_code for one in cold] == [200, 404]
    served = Counter(span.name for span in spans if span.kind == Span.SPAN_KIND_SERVER)
    assert served["GET /api/v1/activities/{activity_id}"] == 3
    assert served["POST /api/v1/activities"] == 1


async def test_without_a_collector_there_is_no_tracing(api: Api):
    assert not api.container.tracing().on
