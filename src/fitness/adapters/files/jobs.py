"""The functions that run in a separate process: they unpack a file, read it, and check its activities."""

from collections.abc import Callable
from datetime import datetime
from pickle import PickleBuffer
from typing import Any

from fitness.adapters.files.formats import read_recordings
from fitness.domain.model.recordings import ReadRecording, activities_of, digest_of, unpacked
from fitness.ports.recordings import FileIdentity

Job = tuple[Callable[..., Any], PickleBuffer, tuple[Any, ...]]
"""A function of this module, the file's bytes, and the other arguments."""


def carry_out(job: Job) -> Any:
    function, data, others = job
    return function(data, *others)


def identify(data: bytes) -> FileIdentity:
    """Raises RecordingEmpty, RecordingTooLarge, RecordingCorrupt."""
    content = unpacked(data)
    return FileIdentity(digest_of(content), len(content))


def read_activities(data: bytes, digest: str, home_timezone: str, now: datetime) -> ReadRecording:
    """Raises a RecordingRefused, InvalidFields."""
    file = read_recordings(unpacked(data))
    return activities_of(file, digest=digest, home_timezone=home_timezone, now=now)
