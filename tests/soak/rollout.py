"""Whether the proxy finds a new replica by name, and stops using one that ends, under load.

    python -m tests.soak.rollout [--nginx PROGRAM]

nginx runs with our file, except for the address whose X-Forwarded-For it believes, in one network namespace, with a
name server of ours at the address of Docker's; the replicas are in another namespace. First there is one replica; then
a second one starts and the first one ends. Exits with 1 if a request was lost, or if the second replica had none. Needs
root, `ip`, and nginx 1.27.3 or later, which Debian 12 and 13 do not have.
"""

import argparse
import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvloop
from ops.local.proxy import NGINX_CONF, Proxy, nginx
from ops.local.service import own_folder

from tests.soak.proxy import EXPECTED, PATIENCE_S, PORT, Load, Replica, enter, two_namespaces

OLDEST = (1, 27, 3)
RATE = 500.0
FORGOTTEN_S = 8.0
"""Time after which the proxy has looked the name up again: `valid` of its resolver, and a reserve."""

ADDRESSES = ("10.213.0.2", "10.213.0.3")


class Names:
    """A name server that answers any name with `addresses`, valid for a second."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    @contextmanager
    def serving(self) -> Iterator[None]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.11", 53))
            threading.Thread(target=self._answer, args=(server,), daemon=True).start()
            yield

    def _answer(self, server: socket.socket) -> None:
        while True:
            try:
                question, client = server.recvfrom(512)
            except OSError:  # closed
                return
            # The id and the question are repeated; the flags say that this is an answer.
            head = question[:2] + b"\x81\x80\0\1" + len(self.addresses).to_bytes(2, "big") + b"\0" * 4
            records = [b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(one) for one in self.addresses]
            server.sendto(head + question[12:] + b"".join(records), client)


def answered_by(proxy: Proxy) -> set[str]:
    """The replicas that have answered so far."""
    lines = [json.loads(line) for line in proxy.log.read_text().splitlines() if line.endswith("}")]
    return {line["upstream"].partition(":")[0] for line in lines if line["status"] != 502}


def wait_until_resolved() -> None:
    """Wait until the proxy has looked the name up, some milliseconds after its start; until then it answers 502."""
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health/live", timeout=1).close()
        except OSError:
            assert time.monotonic() < give_up_s
            time.sleep(0.02)
        else:
            return


def seconds_until_found(proxy: Proxy, names: Names) -> float:
    """Add the second address; the seconds until a request is answered there, PATIENCE_S if none is."""
    names.addresses = [*ADDRESSES]
    added_s = time.monotonic()
    while ADDRESSES[1] not in answered_by(proxy) and time.monotonic() < added_s + PATIENCE_S:
        time.sleep(0.1)
    return time.monotonic() - added_s


async def rolled_out(proxy: Proxy, names: Names, first: Replica, second: Replica) -> tuple[Counter[str], float]:
    """The answers, and the seconds until the second replica had a request."""
    load = Load(RATE)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(2.0)
    await asyncio.to_thread(second.start)
    found_s = await asyncio.to_thread(seconds_until_found, proxy, names)
    names.addresses = [ADDRESSES[1]]
    await asyncio.sleep(FORGOTTEN_S)
    await asyncio.to_thread(first.stop)
    await asyncio.sleep(2.0)
    load.end()
    await running
    return load.answers, found_s


def soak(program: str) -> list[str]:
    names = Names()
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder())
        near, far = stack.enter_context(two_namespaces())
        enter(near)
        stack.enter_context(names.serving())
        replicas = [Replica(far, f"{address}:{PORT}") for address in ADDRESSES]
        names.addresses = [ADDRESSES[0]]
        replicas[0].start()
        for replica in replicas:
            stack.callback(replica.stop)
        conf = NGINX_CONF.read_text().replace("set_real_ip_from 172.30.0.1;", "set_real_ip_from 127.0.0.1;")
        # By default the log has no line for health checks that succeed.
        proxy = Proxy(conf.replace('"~^[23].. /health/" 0;', ""), PORT, folder, program=program)
        proxy.start()
        stack.callback(proxy.stop)
        wait_until_resolved()
        answers, found_s = uvloop.run(rolled_out(proxy, names, *replicas))
        seen, said = answered_by(proxy), proxy.errors.read_text()
    print(f"the second replica had a request after {found_s:.1f} s; then the first one went: {dict(answers)}")
    wrong = [] if seen == {*ADDRESSES} else [f"not every replica answered: {seen}"]
    if answers.keys() != {*EXPECTED.values()}:
        wrong.append(f"requests were lost; nginx says: {said}")
    return wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--nginx", default=nginx())
    program: str | None = options.parse_args().nginx
    if program is None:
        sys.exit("nginx is not installed")
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    version = tuple(map(int, re.findall(r"\d+", said)[:3]))
    if version < OLDEST:
        sys.exit(f"this needs nginx {'.'.join(map(str, OLDEST))} or later, and {program} is {said.strip()}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))  # so that the namespaces are deleted
    wrong = soak(program)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
