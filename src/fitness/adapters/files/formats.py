"""Finds out the format of a recorded file, and reads it."""

import logging
import re
import struct

from fitness.adapters.files.fit import is_fit, read_fit
from fitness.adapters.files.gpx import GpxTracks
from fitness.adapters.files.remarks import Remarks
from fitness.adapters.files.tcx import TcxActivities
from fitness.adapters.files.xml import read_xml
from fitness.domain.model.file_refusals import RecordingCorrupt, RecordingUnknown
from fitness.domain.model.recordings import RecordedFile

_ROOT_ELEMENT = re.compile(rb"<(?:\w+:)?(?:gpx|TrainingCenterDatabase)[\s>/]")
_SEARCHED_BYTES = 64 * 1024

# The exceptions of parsers for damage that they do not check for.
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


def read_recordings(content: bytes) -> RecordedFile:
    """The sessions of a FIT, GPX or TCX file. Raises a RecordingRefused."""
    try:
        if is_fit(content):
            return read_fit(content)
        if not _looks_known(content):
            raise RecordingUnknown
        return _read_xml(content)
    except _PARSER_ERRORS as error:
        _log.warning("a parser failed on a recorded file: %r", error)
        raise RecordingCorrupt("it holds values that make no sense") from error


def _looks_known(content: bytes) -> bool:
    """Whether it is GPX or TCX, if perhaps damaged. Without its zeros, UTF-16 looks like Latin-1."""
    return _ROOT_ELEMENT.search(content[:_SEARCHED_BYTES].replace(b"\0", b"")) is not None


def _read_xml(content: bytes) -> RecordedFile:
    remarks = Remarks()
    tracks, activities = GpxTracks(remarks), TcxActivities(remarks)
    root, is_whole = read_xml(content, {"gpx": tracks.root, "TrainingCenterDatabase": activities.root})
    recordings = tracks.recordings() if root == "gpx" else activities.recordings()
    if not is_whole:
        remarks.add("the file", "it ends too early; this is made of what is there")
    return RecordedFile(tuple(recordings), remarks.sentences(), recovered=not is_whole)
