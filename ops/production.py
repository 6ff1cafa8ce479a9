"""The production shape without containers: service, Prometheus and Alertmanager on this machine, until Ctrl-C.

    python -m ops.production [--workers 2] [--webhook URL]

Needs Debian's prometheus and prometheus-alertmanager. Alerts go to the webhook, or are printed here.
"""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.local.network import QuietHandler, free_port, listening
from ops.local.service import Instance, engines, serving

OPS = Path(__file__).parent
PATIENCE_S = 30.0

OnAlert = Callable[[str, dict[str, object]], None]


@dataclass(frozen=True)
class Watchers:
    prometheus: str
    alertmanager: str


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--webhook", help="where alerts are posted; without, they are printed")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, _end)
    with ExitStack() as stack:
        urls = stack.enter_context(engines())
        instance: Instance = stack.enter_context(serving(urls, WORKERS=str(given.workers)))
        webhook = given.webhook or stack.enter_context(sink(_print))
        watchers = stack.enter_context(watching([f"127.0.0.1:{instance.metrics_port}"], webhook))
        print(f"service       http://127.0.0.1:{instance.port}/docs")
        print(f"Prometheus    {watchers.prometheus}")
        print(f"Alertmanager  {watchers.alertmanager}\nCtrl-C stops it all.", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


@contextmanager
def watching(
    targets: Sequence[str], webhook: str, *, every: str = "15s", rules: Callable[[str], str] = str
) -> Iterator[Watchers]:
    """Prometheus and Alertmanager with this folder's settings and local addresses; `rules` may change the rules."""
    folder = Path(tempfile.mkdtemp(prefix="fitness-watching-"))
    ports = free_port(), free_port(), free_port()
    settings = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports[1]}"]}]}]},
        "scrape_configs": [{"job_name": "fitness", "static_configs": [{"targets": [*targets]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(settings))  # JSON is YAML
    (folder / "rules.yml").write_text(rules((OPS / "prometheus" / "rules.yml").read_text()))
    template = (OPS / "alertmanager" / "alertmanager.yml").read_text()
    if every != "15s":
        template = re.sub(r"group_(wait|interval): \w+", rf"group_\1: {every}", template)
    (folder / "alertmanager.yml").write_text(template.replace("http://webhook.invalid", webhook))
    watchers = Watchers(f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    commands = [
        [
            program("prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{ports[0]}",
            # An alert that fires before Alertmanager can be reached is sent again after this time.
            f"--rules.alert.resend-delay={'1m' if every == '15s' else every}",
        ],
        [
            program("prometheus-alertmanager"),
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/alerts",
            f"--web.listen-address=127.0.0.1:{ports[1]}",
            f"--cluster.listen-address=127.0.0.1:{ports[2]}",
        ],
    ]
    with (folder / "log").open("wb") as log:
        running = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
    try:
        for url in (watchers.prometheus, watchers.alertmanager):
            _wait_until_ready(url, folder / "log")
        yield watchers
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def sink(on_alert: OnAlert) -> Iterator[str]:
    """A local webhook, which calls `on_alert` with the receiver and each alert that arrives."""

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for alert in body["alerts"]:
                on_alert(self.path.strip("/"), alert)
            self.send_response(200)
            self.end_headers()

    with listening(Handler) as address:
        yield f"http://{address}"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        sys.exit(f"{name} is not installed; on Debian: apt-get install prometheus prometheus-alertmanager")
    return found


def _end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the clean-up
    sys.exit(0)


def _print(receiver: str, alert: dict[str, object]) -> None:
    print(f"{receiver}: {alert['status']} {alert['labels']} {alert['annotations']}", flush=True)


def _wait_until_ready(url: str, log: Path) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()
        except OSError:
            assert time.monotonic() < give_up_s, log.read_text()
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    main()
