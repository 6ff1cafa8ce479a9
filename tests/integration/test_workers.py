"""Worker processes that are told to stop while they begin."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

SERVICE = """
import os
import time
from fitness.entrypoints.server.workers import StopSignals, Workers

def begins_for_long(stopping, ready):
    os.write(1, b"+")
    time.sleep(60)

until = StopSignals()
print(Workers([begins_for_long] * 2, sockets=[], drain_s=60.0).run(until, lambda: None))
"""


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the parent", "to all"])
def test_those_that_are_not_ready_have_nothing_to_finish(send: Callable[[int, int], None]):
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(2) == b"++"
        send(process.pid, signal.SIGTERM)
        # Not that they did not end in time and were killed, nor that the service could not begin.
        assert (process.stdout.read(), process.stderr.read()) == (b"True\n", b"")
