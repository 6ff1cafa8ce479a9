"""All of an instance's metrics in one answer, however many processes it has.

Each process takes the lowest free slot, and serves its metrics on a unix socket of that number. A scrape asks every
slot and merges the answers, with the slot as the label `worker`: a slot and not a process id, so that new processes
continue the old series. Processes that have ended count as the worker `cli`: see ended.py.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO

from fitness.adapters.telemetry.ended import forget_counts, left_counts

ANSWER_S = 5.0
"""The time for a process to answer. A busy machine must not hide its metrics; Prometheus itself waits for 10 s."""

MOST_SLOTS = 1_024

ENDED = "cli"
"""The value of the label `worker` for processes that have ended."""


def begin_exchange(folder: Path) -> None:
    """Make `folder`, or remove what an earlier run left in it; processes that are alive keep their slots.

    Raises OSError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    forget_counts(folder)
    for path in folder.glob("*.sock"):
        lock = _taken(path.with_suffix(".lock"))
        if lock is not None:  # its process was killed
            with lock:
                path.unlink(missing_ok=True)


class MetricsExchange:
    """`folder` belongs to this instance of the service alone; see `begin_exchange`."""

    def __init__(self, folder: Path, render: Callable[[], bytes], *, answer_s: float = ANSWER_S) -> None:
        self._folder = folder
        self._render = render
        self._answer_s = answer_s

    @asynccontextmanager
    async def serve_metrics(self) -> AsyncIterator[None]:
        """Answer scrapes until the context ends; the kernel frees the slot of a process that was killed."""
        slot, lock = _free_slot(self._folder)
        with lock, _short(self._folder) as folder:
            path = folder / f"{slot}.sock"
            path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._answer, path)
            try:
                yield
            finally:
                server.close()
                path.unlink(missing_ok=True)

    async def collect(self) -> bytes:
        """Every process's metrics, in Prometheus's text format. Slow processes are left out: see ANSWER_S."""
        with _short(self._folder) as folder:
            sockets = sorted(folder.glob("*.sock"))
            answers = await asyncio.gather(*(_ask(path, self._answer_s) for path in sockets))
        texts = [(path.stem, answer.decode()) for path, answer in zip(sockets, answers, strict=True)]
        return merged([*texts, (ENDED, left_counts(self._folder))])

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await asyncio.to_thread(self._render))
            with suppress(ConnectionError):  # the scrape has given up
                await writer.drain()
        finally:
            writer.close()


def merged(answers: Iterable[tuple[str, str]]) -> bytes:
    """Merge the texts of all workers into one: each sample with its worker, each family's samples together."""
    families: dict[str, list[str]] = {}
    for worker, text in answers:
        family: list[str] = []
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family = families.setdefault(line, [])
            elif line.startswith("#"):
                if line not in family:
                    family.append(line)
            else:
                family.append(_labelled(line, worker))
    return "".join(f"{head}\n" + "".join(f"{line}\n" for line in lines) for head, lines in families.items()).encode()


def _labelled(sample: str, worker: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f'{name}{{worker="{worker}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'


async def _ask(path: Path, answer_s: float) -> bytes:
    async def answer() -> bytes:
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            return await reader.read()
        finally:
            writer.close()

    try:
        return await asyncio.wait_for(answer(), answer_s)
    except (OSError, TimeoutError):
        return b""


@contextmanager
def _short(folder: Path) -> Iterator[Path]:
    """A path of the folder that is short enough for a socket in it: the kernel takes 108 bytes."""
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{opened}")
    finally:
        os.close(opened)


def _free_slot(folder: Path) -> tuple[int, IO[str]]:
    for slot in range(MOST_SLOTS):
        lock = _taken(folder / f"{slot}.lock")
        if lock is not None:
            return slot, lock
    raise RuntimeError(f"more than {MOST_SLOTS} processes in {folder}")


def _taken(path: Path) -> IO[str] | None:
    """The lock, held until it is closed; None where another process holds it."""
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
