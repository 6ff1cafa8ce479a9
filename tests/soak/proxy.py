"""Whether the proxy carries a steady load without using up its ports, and loses nothing when a replica ends.

    python -m tests.soak.proxy [--seconds 90] [--rate 5000]

nginx runs with our file in one network namespace and two replicas in another, since on loopback the kernel reuses ports
that closed connections still hold. First wrk requests an activity for `--seconds`, as fast as it is answered, which has
to be at least `--rate`: a generator in Python would take as much CPU as proxy and replicas together, and nothing costs
a replica less than a cached activity. Then, under a smaller and steady load, each replica in turn is ended by SIGTERM
and started again, ROUNDS times. There one request in ten is a POST, which the proxy may not repeat. Exits with 1 if an
answer was not the replicas' own, if a request had no answer, or if there are more closed connections to the replicas
than kept connections leave behind. Needs root, `ip` (Debian: iproute2), nginx and wrk.
"""

import argparse
import asyncio
import ctypes
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import httpx
import uvloop
from ops.local.network import accepts
from ops.local.proxy import Proxy, local_conf, nginx
from ops.local.service import FITNESS, own_folder

CONNECTIONS = 64
ROUNDS = 2
RESTART_S = 4.0
"""Time under load before a replica is ended, and again before it is started. The proxy tries a replica that was gone
again within three seconds (`fail_timeout`, by a clock of whole seconds); until then it has only the other one."""
RESTART_RATE = 1_000.0
TENTH = 10
PATIENCE_S = 60.0
PORT = 8000
REPLICAS = ("10.213.0.2:8001", "10.213.0.2:8002")
MOST_CLOSED = 0.05
"""Connections to the replicas in TIME_WAIT after the load, for each request. Without keep-alive each leaves one."""

KEY = secrets.token_hex(32)
TIME_WAIT = "06"
CLONE_NEWNET = 0x40000000


EXPECTED = {"GET": "GET 200", "POST": "POST 404"}
"""The replicas' answers; the proxy's own refusals have other statuses."""
PATHS = {"GET": "/health/live", "POST": "/api/v1/nothing"}


STEADY = """
local requests, sent = {{}}, 0
function init()
  for number = 1, 250 do
    local headers = {{["Host"] = "x", ["Authorization"] = "Bearer {token}", ["X-Forwarded-For"] = "192.0.2." .. number}}
    requests[number] = wrk.format("GET", "{path}", headers)
  end
end
function request()
  sent = sent + 1
  return requests[sent % #requests + 1]
end
function done(summary)
  local failed = summary.errors
  local unanswered = failed.connect + failed.read + failed.write + failed.timeout
  io.write(string.format('{{"answered": %d, "unanswered": %d, "seconds": %f}}', summary.requests, unanswered,
    summary.duration / 1e6))
end
"""
"""The script for wrk. Each address sends less than its limit."""


class Steady(NamedTuple):
    rate: float
    """Answers a second."""

    answers: Counter[str]


class Load:
    """A load of `rate` requests a second over CONNECTIONS connections, each of a client with its own address."""

    def __init__(self, rate: float) -> None:
        self.every_s = CONNECTIONS / rate
        self.ends_s = float("inf")
        self.answers: Counter[str] = Counter()

    def end(self) -> None:
        """End the load, once the requests under way are answered."""
        self.ends_s = time.monotonic()

    async def run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(CONNECTIONS)))

    async def _client(self, number: int) -> None:
        headers = f"Host: x\r\nX-Forwarded-For: 192.0.2.{number + 1}\r\nContent-Length: 2\r\n\r\n"
        requests = {method: f"{method} {path} HTTP/1.1\r\n{headers}{{}}".encode() for method, path in PATHS.items()}
        sent = 0
        loop = asyncio.get_running_loop()
        connection: Connection | None = None
        due_s = time.monotonic() + self.every_s * number / CONNECTIONS
        while due_s < self.ends_s:
            if (early_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(early_s)
            if connection is None or connection.closed:
                _, connection = await loop.create_connection(Connection, "127.0.0.1", PORT)
            method = "GET" if sent % TENTH else "POST"
            self.answers[f"{method} {await connection.ask(requests[method])}"] += 1
            sent += 1
            due_s = max(due_s + self.every_s, time.monotonic() - 1)  # what is over a second late is left out
        if connection is not None:
            connection.close()


class Connection(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class has no common base class
        self._received = b""
        self._answer: asyncio.Future[str] | None = None

    def ask(self, request: bytes) -> "asyncio.Future[str]":
        """The status of the answer, or `no answer`."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        lower = head.lower()
        if found and len(body) >= int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            self._received = b""
            if b"connection: close" in lower:  # nginx does so after keepalive_requests
                self.close()
            self._say(head[9:12].decode())

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._say("no answer")

    def close(self) -> None:
        self.closed = True
        self._transport.close()

    def _say(self, status: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


class Asked(NamedTuple):
    """An activity, and the token of its owner."""

    path: str
    token: str


class Replica:
    """The service, in memory, in the namespace `where`. All replicas have the same keys, so each accepts all tokens."""

    def __init__(self, where: str, address: str) -> None:
        host, _, port = address.partition(":")
        self._address = (host, int(port))
        self._command = ["ip", "netns", "exec", where, str(FITNESS), "serve"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FITNESS_")}
        self._environment = kept | {
            "FITNESS_DATABASE_URL": "memory:",
            "FITNESS_REDIS_URL": "memory:",
            "FITNESS_HOST": host,
            "FITNESS_PORT": port,
            "FITNESS_METRICS_PORT": "0",
            "FITNESS_RATE_LIMIT_SCALE": "0",
            "FITNESS_SECRET_KEYS": KEY,
        }

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, env=self._environment, stderr=subprocess.DEVNULL)
        give_up_s = time.monotonic() + PATIENCE_S
        while not accepts(*self._address):
            assert self._process.poll() is None, "the service ended; run `fitness serve` to see why"
            assert time.monotonic() < give_up_s
            time.sleep(0.05)

    def prepared(self) -> Asked:
        """An account and its activity, whose ids are the same on each replica that had no other requests."""
        with httpx.Client(base_url=f"http://{self._address[0]}:{self._address[1]}") as client:
            who = {"email": "ann@example.org", "password": "a horse on a hill"}
            client.post("/api/v1/auth/register", json=who).raise_for_status()
            token = client.post("/api/v1/auth/login", json=who).raise_for_status().json()["access_token"]
            run = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}
            headers = {"Authorization": f"Bearer {token}"}
            made = client.post("/api/v1/activities", json=run, headers=headers).raise_for_status()
        return Asked(made.headers["location"], token)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def two_namespaces() -> Iterator[tuple[str, str]]:
    """The proxy's namespace, 10.213.0.1, and the replicas', 10.213.0.2 and .3. Both are deleted afterwards."""
    near, far = (f"fitness-{os.getpid()}-{name}" for name in ("proxy", "api"))
    with ExitStack() as stack:
        for namespace in (near, far):
            ip("netns", "add", namespace)
            stack.callback(ip, "netns", "delete", namespace)
        ip("-n", near, "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", far)
        for namespace, addresses in ((near, ["10.213.0.1/29"]), (far, ["10.213.0.2/29", "10.213.0.3/29"])):
            for address in addresses:
                ip("-n", namespace, "address", "add", address, "dev", "veth0")
            ip("-n", namespace, "link", "set", "veth0", "up")
            ip("-n", namespace, "link", "set", "lo", "up")
        yield near, far


def enter(namespace: str) -> None:
    """Move this thread, and what it starts from now on, to `namespace`."""
    with Path(f"/run/netns/{namespace}").open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")


def closed_connections() -> int:
    """The number of connections to the replicas in TIME_WAIT."""
    ports = {f"{int(replica.partition(':')[2]):04X}" for replica in REPLICAS}
    rows = [line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == TIME_WAIT and row[2].partition(":")[2] in ports for row in rows)


def loaded(proxy: Proxy, folder: Path, asked: "Asked", seconds: float) -> Steady:
    """Load the proxy by wrk; the answers are counted from the proxy's log."""
    script = folder / "steady.lua"
    script.write_text(STEADY.format(path=asked.path, token=asked.token))
    given = ["-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds:.0f}s", "-s", str(script)]
    ran = subprocess.run(["wrk", *given, f"http://127.0.0.1:{PORT}"], check=True, capture_output=True, text=True)
    said = json.loads(ran.stdout[ran.stdout.index("{") :])
    with proxy.log.open() as log:
        lines = map(json.loads, log)
        answers = Counter(f"{line['method']} {line['status']}" for line in lines)
    answers["GET 499"] -= min(answers["GET 499"], CONNECTIONS)  # requests that were under way when wrk ended
    answers["GET no answer"] = said["unanswered"]
    return Steady(said["answered"] / said["seconds"], +answers)


async def _ended_and_started(replicas: Sequence[Replica]) -> Counter[str]:
    load = Load(RESTART_RATE)
    running = asyncio.create_task(load.run())
    for replica in [*replicas] * ROUNDS:
        await asyncio.sleep(RESTART_S)
        await asyncio.to_thread(replica.stop)
        await asyncio.sleep(RESTART_S)
        await asyncio.to_thread(replica.start)
    load.end()
    await running
    return load.answers


def measured(replicas: Sequence[Replica], proxy: Proxy, folder: Path, rate: float, seconds: float) -> list[str]:
    """What is wrong."""
    wrong = []
    asked, same = (replica.prepared() for replica in replicas)
    assert asked.path == same.path
    steady, closed = loaded(proxy, folder, asked, seconds), closed_connections()
    print(f"{steady.rate:,.0f} requests a second for {seconds:.0f} s: {dict(steady.answers)}")
    print(f"{closed} connections to the replicas in TIME_WAIT")
    if steady.answers.keys() != {EXPECTED["GET"]}:
        wrong.append("under steady load not every answer was a replica's")
    if steady.rate < rate:
        wrong.append("this machine did not bear the load: the figures say nothing")
    if closed > MOST_CLOSED * min(1.0, 60 / seconds) * steady.answers.total():
        wrong.append("connections to the replicas are not kept open")
    ended = uvloop.run(_ended_and_started(replicas))
    times = ROUNDS * len(replicas)
    print(f"{times} times a replica ended and began, under {RESTART_RATE:,.0f} requests a second: {dict(ended)}")
    if ended.keys() != {*EXPECTED.values()}:
        wrong.append("a replica that ended under load lost requests")
    return wrong


def failures(proxy: Proxy) -> Counter[str]:
    """nginx's messages on failed requests, by the second, without the addresses."""
    found = re.findall(r" (\S+) \[.*?: \*\d+ (.*?), client", proxy.errors.read_text())
    return Counter(f"{at} {said}" for at, said in found)


def soak(rate: float, seconds: float) -> list[str]:
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder())
        try:
            near, far = stack.enter_context(two_namespaces())
            enter(near)
        except (OSError, subprocess.CalledProcessError) as error:
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
            sys.exit(f"network namespaces cannot be made here (needs root and iproute2): {said}")
        replicas = [Replica(far, address) for address in REPLICAS]
        for replica in replicas:
            replica.start()
            stack.callback(replica.stop)
        proxy = Proxy(local_conf(port=PORT, replicas=REPLICAS), PORT, folder)
        proxy.start()
        stack.callback(proxy.stop)
        wrong = measured(replicas, proxy, folder, rate, seconds)
        if wrong:
            print("nginx says:", *failures(proxy).items(), sep="\n  ")
        return wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=90.0)
    options.add_argument("--rate", type=float, default=5_000.0)
    given = options.parse_args()
    if nginx() is None or shutil.which("wrk") is None:
        sys.exit("nginx or wrk is not installed (Debian: apt-get install nginx wrk)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))  # so that the namespaces are deleted
    wrong = soak(given.rate, given.seconds)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
