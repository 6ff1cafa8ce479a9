"""The FIT files that are chained into one, and of each the few messages that tell of its sessions.

Decoding takes twenty microseconds a field, and nearly all of a file are `record` messages, one for each second. So they
are skipped by their sizes, and what is left is a FIT file again, of some kilobytes.
"""

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from fitness.domain.model.file_refusals import RecordingCorrupt

_KEPT = {0, 12, 18, 34, 206, 207}
"""file_id, sport, session and activity; field_description and developer_data_id, which describe fields in them."""

RECORD = 20

MAX_PARTS = 1_000

_HEADER = struct.Struct("<BBHI4s")
_CRC = struct.Struct("<H")

COMPRESSED, DEFINITION, _WITH_DEVELOPER_FIELDS = 0x80, 0x40, 0x20
_FIELD_BYTES = 3
"""A field in a definition: its number, its size, its type."""


@dataclass(frozen=True, slots=True)
class FitPart:
    """One of the chained files. Its messages stand from `begin` to `end`."""

    begin: int
    end: int
    telling: bytes
    """A FIT file with only the messages in _KEPT."""
    record_fields: frozenset[int]
    """The numbers of the fields that its records have."""
    is_cut: bool
    """It ends before its own end, or was never finished."""


class _Damaged(Exception):
    """Says what is wrong."""


def parts_of(content: bytes) -> tuple[list[FitPart], str | None]:
    """The parts that are sound or cut off, and what is wrong with another one.

    Raises RecordingCorrupt where there are too many.
    """
    parts: list[FitPart] = []
    damage = None
    at = count = 0
    while not _is_empty(content, at):
        count += 1
        if count > MAX_PARTS:
            raise RecordingCorrupt(f"it is made of more than {MAX_PARTS} files")
        try:
            begin, end, is_cut = _bounds(content, at)
        except _Damaged as error:
            return parts, str(error)
        try:
            parts.append(_part(content, at, begin, end, is_cut))
        except _Damaged as error:
            damage = str(error)
        at = end + _CRC.size
    return parts, damage


def _is_empty(content: bytes, at: int) -> bool:
    """Whether nothing follows but zeros, with which some devices fill the last block."""
    return at >= len(content) or (not content[at] and content.count(0, at) == len(content) - at)


def _bounds(content: bytes, at: int) -> tuple[int, int, bool]:
    """Where the messages of a part begin and end, and whether it is cut off. Raises _Damaged."""
    if at + _HEADER.size > len(content):
        raise _Damaged("it ends too early")
    header_bytes, _, _, body_bytes, mark = _HEADER.unpack_from(content, at)
    begin = at + header_bytes
    end = begin + body_bytes
    if header_bytes < _HEADER.size or mark != b".FIT":
        raise _Damaged("a part of it does not begin as a FIT file does")
    if end + _CRC.size > len(content):
        return begin, len(content), True
    # The size is what a device writes last.
    if not body_bytes and _crc(content[at:end]) != _CRC.unpack_from(content, end)[0]:
        return begin, len(content), True
    return begin, end, False


def _part(content: bytes, at: int, begin: int, end: int, is_cut: bool) -> FitPart:
    """Raises _Damaged, also where one that is cut off has no message."""
    if not is_cut and _crc(content[at:end]) != _CRC.unpack_from(content, end)[0]:
        raise _Damaged("its checksum is wrong")
    kept: list[bytes] = []
    record_fields: set[int] = set()
    try:
        for message in _kept(content, begin, end, record_fields):
            kept.append(message)  # noqa: PERF402 - those before an error are kept
    except (_Damaged, struct.error, IndexError) as error:
        if not is_cut:
            raise _Damaged(str(error) if isinstance(error, _Damaged) else "it ends too early") from error
    if is_cut and not kept and not record_fields:
        raise _Damaged("it ends too early")
    _, protocol, profile, *_ = _HEADER.unpack_from(content, at)
    return FitPart(begin, end, fit_file(protocol, profile, b"".join(kept)), frozenset(record_fields), is_cut)


def _kept(content: bytes, at: int, end: int, record_fields: set[int]) -> Iterator[bytes]:
    """The definitions and messages from `at` to `end` that are worth decoding. Adds to `record_fields`."""
    sizes: dict[int, int] = {}
    kept: set[int] = set()
    while at < end:
        header = content[at]
        if header & DEFINITION and not header & COMPRESSED:
            local = header & 0x0F
            definition = definition_at(content, at)
            size, sizes[local] = definition.size, definition.message_size
            kept.discard(local)
            if definition.number in _KEPT:
                kept.add(local)
            elif definition.number == RECORD:
                record_fields.update(number for number, _, _ in definition.fields())
        else:
            local = local_type(header)
            if local not in sizes:
                raise _Damaged(f"its message at byte {at} has no definition")
            size = 1 + sizes[local]
            if local not in kept:
                last = end - size
                while at < last and content[at + size] == header:  # most follow others of their kind
                    at += size
        if at + size > end:
            raise _Damaged("its last message is cut short")
        if local in kept:
            yield content[at : at + size]
        at += size


def local_type(header: int) -> int:
    """Which definition a message follows."""
    return header >> 5 & 0x03 if header & COMPRESSED else header & 0x0F


@dataclass(frozen=True, slots=True)
class Definition:
    number: int
    """Of the kind of message."""
    order: str
    """As `struct` writes it."""
    packed_fields: bytes
    message_size: int
    """Without its header."""
    size: int
    """Of the definition itself."""

    def fields(self) -> Iterator[tuple[int, int, int]]:
        """Each one's number, size and base type."""
        parts = iter(self.packed_fields)
        return zip(parts, parts, parts, strict=True)


def definition_at(content: bytes, at: int) -> Definition:
    """Raises struct.error, IndexError where the content ends before it."""
    order = ">" if content[at + 2] else "<"
    (number,) = struct.unpack_from(order + "H", content, at + 3)
    fields_end = at + 6 + _FIELD_BYTES * content[at + 5]
    message_size, end = sum(content[at + 7 : fields_end : _FIELD_BYTES]), fields_end
    if content[at] & _WITH_DEVELOPER_FIELDS:
        end += 1 + _FIELD_BYTES * content[end]
        message_size += sum(content[fields_end + 2 : end : _FIELD_BYTES])
    return Definition(number, order, content[at + 6 : fields_end], message_size, end - at)


def fit_file(protocol: int, profile: int, body: bytes) -> bytes:
    content = _HEADER.pack(_HEADER.size, protocol, profile, len(body), b".FIT") + body
    return content + _CRC.pack(_crc(content))


def _crc(data: bytes) -> int:
    """Two bytes at a time, since a loop in Python takes as long for two as for one."""
    words = array("H", data[: len(data) & ~1])
    if sys.byteorder == "big":
        words.byteswap()
    crc = 0
    after_one, after_two = _remainders()
    for word in words:
        crc = after_two[crc ^ word]
    return after_one[crc ^ data[-1]] if len(data) & 1 else crc


@cache
def _remainders() -> tuple[Sequence[int], Sequence[int]]:
    """What becomes of each remainder after a zero byte, and after two."""
    of_a_byte = []
    for remainder in range(256):
        for _ in range(8):
            remainder = remainder >> 1 ^ 0xA001 if remainder & 1 else remainder >> 1
        of_a_byte.append(remainder)
    once = [remainder >> 8 ^ of_a_byte[remainder & 0xFF] for remainder in range(65536)]
    return once, [once[remainder] for remainder in once]
