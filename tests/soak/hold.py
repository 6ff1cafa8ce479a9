"""Holds thousands of connections open in several ways, and sends requests meanwhile: python -m tests.soak.hold

The ways are: silent, HTTP/2 preface, half a head, half a body, answers that nobody reads, idle. All connections come
from one address. From the same address come ten requests to /health/live and ten for a cached activity, each on a
connection of its own; each has to be answered within PROMPT_S. The memory of the service may grow by GROWTH_MIB.
"""

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ops.local.client import Client, logged_in
from ops.local.service import Instance, engines, serving

CONNECTIONS = 2_000
PROBES = 10
PROMPT_S = 0.5
GROWTH_MIB = 100
HELD_S = 6.0
"""Longer than the service waits for a head."""

Attack = Callable[[str], bytes]

ATTACKS: dict[str, bytes] = {
    "silent": b"",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "half a head": b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    "half a body": b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
    "unread answers": b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n" * 10,
    "idle": b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
}


async def held(port: int, first: bytes, count: int, *, drip: bytes) -> list[asyncio.StreamWriter]:
    """Open connections and send `first` on each, then a `drip` each second; the service may refuse some."""
    writers = []

    async def one() -> None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        except OSError:
            return
        writers.append(writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(first)
        while drip and not writer.is_closing():
            await asyncio.sleep(1)
            writer.write(drip)

    tasks = [asyncio.ensure_future(one()) for _ in range(count)]
    await asyncio.sleep(2)
    for task in tasks:
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return writers


async def attacked(instance: Instance, name: str, count: int, token: str, activity_id: int) -> str:
    before = memory_mib(instance)
    drip = b"a" if name.startswith("half") else b""
    writers = await held(instance.port, ATTACKS[name], count, drip=drip)
    slowest = {"live": 0.0, "cached": 0.0}
    grown, answered, until_s = 0.0, 0, time.monotonic() + HELD_S
    for number in range(PROBES):
        for what, path in (("live", "/health/live"), ("cached", f"/api/v1/activities/{activity_id}")):
            began_s = time.monotonic()
            client = Client(instance.port, token, base="")
            try:
                async with asyncio.timeout(5):
                    answered += (await client.ask("GET", path)).status == 200
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                pass
            slowest[what] = max(slowest[what], time.monotonic() - began_s)
            client.close()
        grown = max(grown, memory_mib(instance) - before)
        await asyncio.sleep(max(0.0, (until_s - time.monotonic()) / (PROBES - number)))
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0.5)
    wrong = []
    if answered != 2 * PROBES:
        wrong.append(f"{2 * PROBES - answered} requests were not answered")
    wrong += [f"{what} took too long" for what, took_s in slowest.items() if took_s > PROMPT_S]
    if grown > GROWTH_MIB:
        wrong.append("too much memory")
    times = ", ".join(f"slowest {what} {took_s * 1000:.0f} ms" for what, took_s in slowest.items())
    print(
        f"{name:15} {len(writers)} held: {answered} of {2 * PROBES} answered, {times}, memory +{grown:.0f} MiB",
        flush=True,
    )
    return f"{name}: {', '.join(wrong)}" if wrong else ""


def memory_mib(instance: Instance) -> float:
    """Resident memory of the service's processes."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in instance.pids()]
    return sum(pages) * resource.getpagesize() / 2**20


async def hold(port_of: Instance, count: int) -> list[str]:
    token = await logged_in(port_of.port, "ann@example.org")
    client = Client(port_of.port, token)
    body = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}
    activity_id: int = (await client.ask("POST", "/activities", body)).json()["id"]
    found = [await attacked(port_of, name, count, token, activity_id) for name in ATTACKS]
    return [wrong for wrong in found if wrong]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    count = parser.parse_args().connections
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with engines() as urls, serving(urls, RATE_LIMIT_SCALE="1000") as instance:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        wrong = asyncio.run(hold(instance, count))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
