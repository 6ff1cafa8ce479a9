"""Runs nginx on this machine with the configuration of docker-compose, for the tests and the soak."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ops.local.network import accepts

FOLDER = Path(__file__).parents[1] / "proxy"
NGINX_CONF = FOLDER / "nginx.conf"
PATIENCE_S = 60.0
RATE = "200r/s"
"""The rate that nginx.conf allows for one address."""


def nginx() -> str | None:
    """The path of the program; None if it is not installed."""
    return shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def local_conf(*, port: int, replicas: Sequence[str], client: str = "127.0.0.1", rate: str = RATE) -> str:
    """nginx.conf for this machine. It listens on `port` and believes the X-Forwarded-For of `client`. It lists the
    replicas one by one, since Debian's nginx 1.22 cannot look them up by name. `rate` is the limit for one address.
    """
    text = NGINX_CONF.read_text()
    limit = "zone=requests:10m rate={};"
    assert limit.format(RATE) in text
    text = text.replace(limit.format(RATE), limit.format(rate))
    server = re.search(r"server api:8000 resolve( [^;]*);", text)
    assert server is not None
    named = "\n    ".join(f"server {replica}{server[1]};" for replica in replicas)
    text = text.replace(server[0], named)
    text = re.sub(r"\n  resolver(_timeout)? [^;]*;", "", text)
    text = text.replace("set_real_ip_from 172.30.0.1;", f"set_real_ip_from {client};")
    return text.replace("listen 8000 ", f"listen {port} ")


class Proxy:
    """An nginx process. Its access log is in `log`; its error log, without query strings, is in `errors`."""

    def __init__(
        self, conf: str, port: int, folder: Path, inside: Sequence[str] = (), program: str | None = None
    ) -> None:
        self.port = port
        self.log = folder / "access.log"
        self.errors = folder / "error.log"
        program = program or nginx()
        assert program is not None, "nginx is not installed (Debian: apt-get install nginx)"
        file = folder / "nginx.conf"
        file.write_text(conf)
        globals_ = f"daemon off; pid {folder / 'nginx.pid'};"
        start = ["sh", str(FOLDER / "start.sh"), program]
        self._command = [*inside, *start, "-e", "stderr", "-c", str(file), "-g", globals_]

    def start(self, host: str = "127.0.0.1") -> None:
        with self.log.open("ab") as log, self.errors.open("ab") as errors:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=errors)
        give_up_s = time.monotonic() + PATIENCE_S
        while not accepts(host, self.port):
            assert self._process.poll() is None, self.errors.read_text()
            assert time.monotonic() < give_up_s
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE_S)


@contextmanager
def proxy(folder: Path, port: int, replicas: Sequence[str], rate: str = RATE) -> Iterator[Proxy]:
    """Runs nginx on 127.0.0.1, and believes the X-Forwarded-For of clients there."""
    one = Proxy(local_conf(port=port, replicas=replicas, rate=rate), port, folder)
    one.start()
    try:
        yield one
    finally:
        one.stop()
