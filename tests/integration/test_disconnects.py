"""Clients that leave at any byte of any request: nothing of it is a fault of the service's."""

import asyncio
import logging
import re
import time

import pytest

from fitness.entrypoints.http.routes import operations
from tests.harness.api import Api, Person
from tests.harness.disconnects import Kind, broken, send_and_leave
from tests.harness.listening import listening
from tests.patience import PATIENCE_S

BROKEN_OFF = 2_000
AT_A_TIME = 25


async def test_a_client_that_leaves_at_any_byte_of_any_request_makes_no_error(
    own_api: Api, caplog: pytest.LogCaptureFixture
):
    ann, leaving = await own_api.person(), await own_api.person()
    one = await ann.record()
    kinds = [
        Kind(method, re.sub(r"\{\w+\}", str(one["id"]), path), leaving.token if "/logout" in path else "")
        for method, path, _ in operations(own_api.app)
        if method != "OPTIONS"
    ]
    assert len(kinds) > 20
    async with listening(own_api.app) as (listener, port, _):
        beginnings = [data for _, data in broken(kinds, ann.token, BROKEN_OFF, seed=3)]
        for first in range(0, len(beginnings), AT_A_TIME):
            batch = beginnings[first : first + AT_A_TIME]
            await asyncio.gather(*(send_and_leave(port, data, number=number) for number, data in enumerate(batch)))
        give_up_s = time.monotonic() + PATIENCE_S
        while listener.connections:
            assert time.monotonic() < give_up_s
            await asyncio.sleep(0.01)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    counted = re.findall(r'^http_requests_total\{.*status="(5\d\d)"\} (\S+)$', (await own_api.scrape()).text, re.M)
    assert {(status, number) for status, number in counted if number != "0.0"} == set()
    again = Person(own_api.http, ann.id, ann.email, ann.token)
    assert (await again.get("/activities")).status_code == 200
