"""Splits a file into the FIT files that are chained in it, and picks from each the few messages about its sessions.

Decoding takes twenty microseconds a field, and nearly all messages of a file are `record` messages, one for each
second. So records are skipped by their sizes, and the rest is again a FIT file, of some kilobytes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from fitness.domain.model.file_refusals import RecordingCorrupt

_KEPT = {0, 12, 18, 34, 206, 207}
"""file_id, sport, session and activity; field_description and developer_data_id, which describe fields in them."""

RECORD = 20

MAX_PARTS = 1_000

_HEADER = struct.Struct("<BBHI4s")
_CRC = struct.Struct("<H")
_PERIOD = 2**15 - 1

COMPRESSED, DEFINITION, _WITH_DEVELOPER_FIELDS = 0x80, 0x40, 0x20
_FIELD_BYTES = 3
"""A field in a definition: its number, its size, its type."""


@dataclass(frozen=True, slots=True)
class FitPart:
    """One of the chained files. Its messages are the bytes from `begin` to `end`."""

    begin: int
    end: int
    telling: bytes
    """A FIT file with only the messages in _KEPT."""
    record_fields: frozenset[int]
    """The numbers of the fields that its records have."""
    is_cut: bool
    """True if the content ends before the part does, or the part was never finished."""


class _Damaged(Exception):
    """The message says what is wrong."""


def parts_of(content: bytes) -> tuple[list[FitPart], str | None]:
    """The parts that are sound or cut off, and what is wrong with a damaged one, or None.

    Raises RecordingCorrupt if there are more than MAX_PARTS.
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
    # A device writes the size last: it is 0 in a part that was never finished.
    if not body_bytes and _crc(content[at:end]) != _CRC.unpack_from(content, end)[0]:
        return begin, len(content), True
    return begin, end, False


def _part(content: bytes, at: int, begin: int, end: int, is_cut: bool) -> FitPart:
    """Raises _Damaged, also for a part that is cut off and has no message."""
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
    """The number of the definition that a message follows."""
    return header >> 5 & 0x03 if header & COMPRESSED else header & 0x0F


@dataclass(frozen=True, slots=True)
class Definition:
    number: int
    """The number of the kind of message."""
    order: str
    """The byte order as `struct` writes it."""
    packed_fields: bytes
    message_size: int
    """The bytes of a message, without its header."""
    size: int
    """The bytes of the definition itself."""

    def fields(self) -> Iterator[tuple[int, int, int]]:
        """Each one's number, size and base type."""
        parts = iter(self.packed_fields)
        return zip(parts, parts, parts, strict=True)


def definition_at(content: bytes, at: int) -> Definition:
    """Raises struct.error, IndexError if the content ends before the definition does."""
    order = ">" if content[at + 2] else "<"
    (number,) = struct.unpack_from(order + "H", content, at + 3)
    fields_end = at + 6 + _FIELD_BYTES * content[at + 5]
    if fields_end > len(content):
        raise IndexError("the definition is cut short")
    message_size, end = sum(content[at + 7 : fields_end : _FIELD_BYTES]), fields_end
    if content[at] & _WITH_DEVELOPER_FIELDS:
        end += 1 + _FIELD_BYTES * content[end]
        message_size += sum(content[fields_end + 2 : end : _FIELD_BYTES])
    return Definition(number, order, content[at + 6 : fields_end], message_size, end - at)


def fit_file(protocol: int, profile: int, body: bytes) -> bytes:
    content = _HEADER.pack(_HEADER.size, protocol, profile, len(body), b".FIT") + body
    return content + _CRC.pack(_crc(content))


def _crc(data: bytes) -> int:
    """FIT's CRC-16.

    Its polynomial divides x**_PERIOD - 1. So bits that lie a multiple of _PERIOD apart count alike: a long message has
    the same remainder as a short one in which such bits are added up, and Python's large integers add them quickly.
    Leading bits that are 0 do not count.
    """
    remainder, remainders = 0, _remainders()
    for byte in _folded(data) if len(data) > _PERIOD // 8 else data:
        remainder = remainder >> 8 ^ remainders[(remainder ^ byte) & 0xFF]
    return remainder


def _folded(data: bytes) -> bytes:
    """A message of _PERIOD bits, after one leading 0, with the same remainder. A byte's lowest bit is its first."""
    added = 0
    for end in range(len(data), 0, -_PERIOD):
        begin = max(0, end - _PERIOD)
        added ^= int.from_bytes(data[begin:end], "little") << 8 * (_PERIOD - (end - begin))
    bits, all_ones = 0, (1 << _PERIOD) - 1
    for part in range(8):
        bits ^= added >> part * _PERIOD & all_ones
    return (bits << 1).to_bytes(_PERIOD // 8 + 1, "little")


@cache
def _remainders() -> tuple[int, ...]:
    """The remainder of each byte."""
    found = []
    for remainder in range(256):
        for _ in range(8):
            remainder = remainder >> 1 ^ 0xA001 if remainder & 1 else remainder >> 1
        found.append(remainder)
    return tuple(found)
