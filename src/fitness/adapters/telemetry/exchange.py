"""All of an instance's metrics in one answer, however many processes it has.

Each process has a slot, the lowest that is free, and answers on a unix socket of that number with what it counted.
Whoever is asked for the metrics asks every slot and puts their answers together, with the slot as the label `worker`:
a number and not a process id, so that there is never more than one series for each.
"""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

ANSWER_S = 1.0
MOST_SLOTS = 1_024


class MetricsExchange:
    """In `folder`, which is this instance's alone."""

    def __init__(self, folder: Path, render: Callable[[], bytes]) -> None:
        self._folder = folder
        self._render = render

    @asynccontextmanager
    async def serve_metrics(self) -> AsyncIterator[None]:
        """For as long as this process lives; a killed one's slot is free at once."""
        slot, lock = _free_slot(self._folder)
        path = self._folder / f"{slot}.sock"
        path.unlink(missing_ok=True)
        with lock:
            server = await asyncio.start_unix_server(self._answer, path)
            try:
                yield
            finally:
                server.close()
                path.unlink(missing_ok=True)

    async def collect(self) -> bytes:
        """Every process's metrics, in Prometheus's text format. One that does not answer in time is left out."""
        sockets = sorted(self._folder.glob("*.sock"))
        answers = await asyncio.gather(*(_ask(path) for path in sockets))
        return merged((path.stem, answer.decode()) for path, answer in zip(sockets, answers, strict=True))

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await asyncio.to_thread(self._render))
            await writer.drain()
        finally:
            writer.close()


def merged(answers: Iterable[tuple[str, str]]) -> bytes:
    """One text of many, each sample under its worker, each family's samples together."""
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


async def _ask(path: Path) -> bytes:
    async def answer() -> bytes:
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            return await reader.read()
        finally:
            writer.close()

    return await _or_nothing(answer())


async def _or_nothing(answer: Awaitable[bytes]) -> bytes:
    try:
        return await asyncio.wait_for(answer, ANSWER_S)
    except (OSError, TimeoutError):
        return b""


def _free_slot(folder: Path) -> tuple[int, IO[str]]:
    for slot in range(MOST_SLOTS):
        lock = (folder / f"{slot}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return slot, lock
    raise RuntimeError(f"more than {MOST_SLOTS} processes in {folder}")
