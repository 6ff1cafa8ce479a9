"""Whether the proxy carries a steady load without using up its ports, and loses nothing when a replica ends.

    python -m tests.soak.proxy [--seconds 90] [--rate 5000]

nginx with our file in one network namespace, two replicas in another, since on loopback the kernel gives a port again
that a closed connection still holds. First the load goes on for so long; then, under a smaller one, each replica in
turn is ended by SIGTERM and started again, ROUNDS times. One request in ten is a POST, which the proxy may not repeat.
Ends with 1 where an answer was not the replicas' own, a request had none, or the closed connections to the replicas are
more than kept connections leave behind. Needs root, `ip` (Debian: iproute2) and nginx.
"""

import argparse
import asyncio
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import uvloop
from ops.local.network import accepts
from ops.local.proxy import Proxy, local_conf, nginx
from ops.local.service import FITNESS, own_folder

CONNECTIONS = 64
ROUNDS = 2
RESTART_S = 4.0
"""Under load before a replica is ended, and as long again before it is started. The proxy tries one that was gone again
within three seconds (`fail_timeout`, and its clock has whole ones); until then it has the other one alone."""
RESTART_RATE = 1_000.0
TENTH = 10
PATIENCE_S = 60.0
PORT = 8000
REPLICAS = ("10.213.0.2:8001", "10.213.0.2:8002")
MOST_CLOSED = 0.05
"""Of the requests: connections to the replicas in TIME_WAIT after the load. Without keep-alive each leaves one."""

LEAST = 0.95
"""Of the requests that were to be sent."""

TIME_WAIT = "06"
CLONE_NEWNET = 0x40000000


EXPECTED = {"GET": "GET 200", "POST": "POST 404"}
"""What a replica answers; the proxy's own refusals are others."""
PATHS = {"GET": "/health/live", "POST": "/api/v1/nothing"}


class Load:
    """So many requests a second over CONNECTIONS connections, each of a client with an address of its own."""

    def __init__(self, rate: float, seconds: float = float("inf")) -> None:
        self.every_s = CONNECTIONS / rate
        self.ends_s = time.monotonic() + seconds
        self.answers: Counter[str] = Counter()

    def end(self) -> None:
        """Once the requests under way are answered."""
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
            due_s = max(due_s + self.every_s, time.monotonic() - 1)  # what is late by more than a second is left out
        if connection is not None:
            connection.close()


class Connection(asyncio.Protocol):
    """Has one request under way at a time."""

    closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, of no base
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


class Replica:
    """The service, in memory, in the namespace `where`."""

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
        }

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, env=self._environment, stderr=subprocess.DEVNULL)
        give_up_s = time.monotonic() + PATIENCE_S
        while not accepts(*self._address):
            assert self._process.poll() is None, "the service ended; run `fitness serve` to see why"
            assert time.monotonic() < give_up_s
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def two_namespaces() -> Iterator[tuple[str, str]]:
    """That of the proxy, 10.213.0.1, and that of the replicas, 10.213.0.2 and .3. Both are deleted after."""
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
    """This thread and what it starts are in `namespace` from now on."""
    with Path(f"/run/netns/{namespace}").open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")


def closed_connections() -> int:
    """To the replicas, in TIME_WAIT."""
    ports = {f"{int(replica.partition(':')[2]):04X}" for replica in REPLICAS}
    rows = [line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == TIME_WAIT and row[2].partition(":")[2] in ports for row in rows)


def loaded(rate: float, seconds: float) -> Counter[str]:
    load = Load(rate, seconds)
    uvloop.run(load.run())
    return load.answers


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


def measured(replicas: Sequence[Replica], rate: float, seconds: float) -> list[str]:
    """What is wrong."""
    wrong = []
    steady, closed = loaded(rate, seconds), closed_connections()
    print(f"{sum(steady.values()) / seconds:,.0f} requests a second for {seconds:.0f} s: {dict(steady)}")
    print(f"{closed} connections to the replicas in TIME_WAIT")
    if steady.keys() != {*EXPECTED.values()}:
        wrong.append("under steady load not every answer was a replica's")
    if sum(steady.values()) < LEAST * rate * seconds:
        wrong.append("this machine did not bear the load: the figures say nothing")
    if closed > MOST_CLOSED * min(1.0, 60 / seconds) * sum(steady.values()):
        wrong.append("connections to the replicas are not kept open")
    ended = uvloop.run(_ended_and_started(replicas))
    times = ROUNDS * len(replicas)
    print(f"{times} times a replica ended and began, under {RESTART_RATE:,.0f} requests a second: {dict(ended)}")
    if ended.keys() != {*EXPECTED.values()}:
        wrong.append("a replica that ended under load lost requests")
    return wrong


def failures(proxy: Proxy) -> Counter[str]:
    """What nginx says of requests that failed, by the second, without the addresses."""
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
        wrong = measured(replicas, rate, seconds)
        if wrong:
            print("nginx says:", *failures(proxy).items(), sep="\n  ")
        return wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=90.0)
    options.add_argument("--rate", type=float, default=5_000.0)
    given = options.parse_args()
    if nginx() is None:
        sys.exit("nginx is not installed (Debian: apt-get install nginx)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))  # so that the namespaces are deleted
    wrong = soak(given.rate, given.seconds)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
