"""Recorded files read in processes of their own: a large one takes a minute of CPU time."""

import asyncio
import logging
import re
import struct
from collections.abc import Callable
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException

from fitness.adapters.files.fit import is_fit, read_fit
from fitness.adapters.files.gpx import read_gpx
from fitness.adapters.files.tcx import read_tcx
from fitness.domain.model.recordings import Recording, unpacked
from fitness.domain.model.refusals import RecordingCorrupt, RecordingUnknown
from fitness.foundation.processes import KillableProcesses, OutOfMemory, OutOfTime, ProcessKilled, ProcessLimits
from fitness.ports.outages import ReaderUnavailable

LIMITS = ProcessLimits(at_once=2, timeout_s=120, memory_bytes=2 * 1024**3)

_ROOT_ELEMENT = re.compile(rb"<(?:\w+:)?(gpx|TrainingCenterDatabase)[\s>/]")
_SEARCHED_BYTES = 64 * 1024

# What parsers raise for damage that they do not look for.
_PARSER_ERRORS = (
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
        """`on_start` runs first in each process."""
        self._processes = KillableProcesses(read_recordings, LIMITS, on_start)

    async def unpack(self, data: bytes) -> bytes:
        return await asyncio.to_thread(unpacked, data)

    async def read(self, content: bytes) -> list[Recording]:
        try:
            return await self._processes.run(content)
        except OutOfTime as error:
            raise RecordingCorrupt(f"it takes longer than {LIMITS.timeout_s} s to read") from error
        except OutOfMemory as error:
            raise RecordingCorrupt("it takes too much memory to read") from error
        except ProcessKilled as error:
            raise ReaderUnavailable("the reading of the file was cut off") from error

    def close(self) -> None:
        self._processes.close()


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
    except _PARSER_ERRORS as error:
        _log.warning("a parser failed on a recorded file", exc_info=True)
        raise RecordingCorrupt("it holds values that make no sense") from error
