"""One engine's process: started, waited for, watched and stopped."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fitness.adapters.embedded.binaries import EnginesUnusable
from fitness.adapters.embedded.processes import Account, private_log

START_PATIENCE_S = 60.0
STOP_PATIENCE_S = 30.0
PREDECESSOR_PATIENCE_S = 15.0


@contextmanager
def running(
    command: Sequence[str | Path],
    account: Account,
    log: Path,
    answers: Callable[[], bool],
    stop_signal: signal.Signals,
    name: str,
    ended: Callable[[str], None],
) -> Iterator[None]:
    """A context in which the engine runs: it answers at the beginning, and has ended after the end."""
    stopping = threading.Event()
    with private_log(log) as output:

        def start() -> subprocess.Popen[bytes]:
            return account.start(command, output=output, death_signal=stop_signal)

        engine = _answering(start, answers, stop_signal, name, log)
        try:
            # A thread, since nothing else would notice an engine's end: the service knows it through sockets only.
            watch = threading.Thread(target=_watch, args=(engine, stopping, lambda: ended(name)), daemon=True)
            watch.start()
            yield
        finally:
            stopping.set()  # before the signal, else the watch would report this end as unexpected
            _stop(engine, stop_signal)


def _answering(
    start: Callable[[], subprocess.Popen[bytes]],
    answers: Callable[[], bool],
    stop_signal: signal.Signals,
    name: str,
    log: Path,
) -> subprocess.Popen[bytes]:
    """Start the engine and return it once it answers. Raises EnginesUnusable, and then leaves no engine running."""
    started_s = time.monotonic()
    engine = start()
    try:
        while not answers():
            waited_s = time.monotonic() - started_s
            if engine.poll() is not None:
                # After a kill -9 of the service, the engine before this one may still be shutting down. It holds the
                # data folder until then, and a new one exits at once: start again until the folder is free.
                if waited_s > PREDECESSOR_PATIENCE_S:
                    raise EnginesUnusable(f"{name} does not start; see {log}")
                time.sleep(0.5)
                engine = start()
            elif waited_s > START_PATIENCE_S:  # recovery after a crash may take this long
                raise EnginesUnusable(f"{name} does not answer after {waited_s:.0f} s; see {log}")
            time.sleep(0.02)
    except BaseException:  # also Ctrl-C
        _stop(engine, stop_signal)
        raise
    return engine


def _stop(engine: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    engine.send_signal(stop_signal)
    try:
        engine.wait(STOP_PATIENCE_S)
    except subprocess.TimeoutExpired:
        engine.kill()
        engine.wait()


def _watch(engine: subprocess.Popen[bytes], stopping: threading.Event, ended: Callable[[], None]) -> None:
    engine.wait()
    if not stopping.is_set():
        ended()
