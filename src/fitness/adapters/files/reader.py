"""Recorded files read in processes of their own: a large one takes a minute of a core."""

import asyncio
import logging
import multiprocessing
import re
import resource
import signal
import struct
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NoReturn
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException

from fitness.adapters.files.fit import is_fit, read_fit
from fitness.adapters.files.gpx import read_gpx
from fitness.adapters.files.tcx import read_tcx
from fitness.domain.model.recordings import Recording, unpacked
from fitness.domain.model.refusals import RecordingCorrupt, RecordingUnknown
from fitness.ports.outages import ReaderUnavailable

AT_ONCE = 2
PATIENCE_S = 120
MEMORY_BYTES = 2 * 1024**3

_ROOT_ELEMENT = re.compile(rb"<(?:\w+:)?(gpx|TrainingCenterDatabase)[\s>/]")
_SEARCHED_BYTES = 64 * 1024

# How parsers stumble over damage that they do not look for.
_STUMBLES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)

_log = logging.getLogger(__name__)


class FileRecordingReader:
    def __init__(self, on_start: Callable[[], None]) -> None:
        """`on_start` runs first thing in each process."""
        self._on_start = on_start
        self._processes = self._pool()

    async def unpack(self, data: bytes) -> bytes:
        return await asyncio.to_thread(unpacked, data)

    async def read(self, content: bytes) -> list[Recording]:
        processes = self._processes
        try:
            return await asyncio.get_running_loop().run_in_executor(processes, _read, content)
        except BrokenProcessPool as error:  # one was killed: the next file gets new ones
            if processes is self._processes:
                self._processes = self._pool()
            raise ReaderUnavailable("the reading of the file was cut off") from error

    def close(self) -> None:
        self._processes.shutdown(cancel_futures=True)

    def _pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork would copy the event loop and its connections
        return ProcessPoolExecutor(AT_ONCE, context, initializer=_begin, initargs=(self._on_start,))


def read_recordings(content: bytes) -> list[Recording]:
    """The sessions of a FIT, GPX or TCX file. Raises a RecordingRefused."""
    root = _ROOT_ELEMENT.search(content, 0, _SEARCHED_BYTES)
    try:
        if is_fit(content):
            return read_fit(content)
        if root is None:
            raise RecordingUnknown
        return read_gpx(content) if root[1] == b"gpx" else read_tcx(content)
    except (ParseError, DefusedXmlException) as error:
        raise RecordingCorrupt(f"its XML is refused: {error}") from error
    except _STUMBLES as error:
        _log.warning("a parser stumbled over a recorded file", exc_info=True)
        raise RecordingCorrupt("it holds values that make no sense") from error


def _begin(on_start: Callable[[], None]) -> None:
    on_start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to answer
    signal.signal(signal.SIGALRM, _out_of_patience)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _read(content: bytes) -> list[Recording]:
    """As `read_recordings`, in a process of its own, with bounded time and memory."""
    signal.alarm(PATIENCE_S)
    try:
        return read_recordings(content)
    except MemoryError as error:
        raise RecordingCorrupt("it takes too much memory to read") from error
    finally:
        signal.alarm(0)


def _out_of_patience(*_: object) -> NoReturn:
    raise RecordingCorrupt(f"it takes longer than {PATIENCE_S} s to read")
