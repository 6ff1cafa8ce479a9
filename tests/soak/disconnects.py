"""Breaks off ten thousand requests to every route at random bytes: python -m tests.soak.disconnects [--count 10000]

A client that leaves is no fault of the service: it must count no 5xx, log no traceback, and answer afterwards.
"""

import argparse
import asyncio
import re
import sys
from pathlib import Path

from ops.local.client import Client, logged_in
from ops.local.service import engines, own_folder, serving_from

from tests.harness.disconnects import Kind, broken, send_and_leave

AT_A_TIME = 50


async def disconnected(port: int, count: int, seed: int) -> None:
    token = await logged_in(port, "ann@example.org")
    described = (await Client(port, base="").ask("GET", "/openapi.json")).json()["paths"]
    kinds = [
        Kind(method.upper(), re.sub(r"\{\w+\}", "1", path), "nobody's" if "/logout" in path else "")
        for path, methods in described.items()
        for method in methods
    ]
    beginnings = [data for _, data in broken(kinds, token, count, seed=seed)]
    for first in range(0, count, AT_A_TIME):
        batch = beginnings[first : first + AT_A_TIME]
        await asyncio.gather(*(send_and_leave(port, data, number=number) for number, data in enumerate(batch)))
    assert (await Client(port, token).ask("GET", "/activities")).status == 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with own_folder() as folder, engines() as urls:
        log = Path(folder) / "log"
        with serving_from(None, urls, {"RATE_LIMIT_SCALE": "0", "LOG_FORMAT": "text"}, log=log) as instance:
            asyncio.run(disconnected(instance.port, given.count, given.seed))
            counts = instance.metrics()
        said = log.read_text()
    by_status: dict[str, float] = {}
    for name, value in counts.items():
        if name.startswith("http_requests_total"):
            (status,) = re.findall(r'status="(\d+)"', name)
            by_status[status] = by_status.get(status, 0) + value
    print({status: int(number) for status, number in sorted(by_status.items()) if number})
    wrong = sum(number for status, number in by_status.items() if status[0] == "5")
    tracebacks = said.count("Traceback")
    print(f"{given.count} requests broken off: {int(wrong)} answered 5xx, {tracebacks} tracebacks")
    if wrong or tracebacks:
        sys.exit(said[said.find("Traceback") - 300 :][:3_000])


if __name__ == "__main__":
    main()
