"""The few messages of a FIT file that tell of its sessions, without the many that record each second.

Decoding takes twenty microseconds a field, and nearly all of a file are `record` messages. So they are skipped by their
sizes, and what is left is a FIT file again, of some kilobytes.
"""

import struct
from collections.abc import Iterator

from fitness.domain.model.refusals import RecordingCorrupt

_KEPT = {0, 12, 18, 34, 206, 207}
"""file_id, sport, session and activity; field_description and developer_data_id, which describe fields in them."""

_HEADER = struct.Struct("<BBHI4s")
_CRC = struct.Struct("<H")

_COMPRESSED, _DEFINITION, _WITH_DEVELOPER_FIELDS = 0x80, 0x40, 0x20
_FIELD_BYTES = 3
"""A field in a definition: its number, its size, its type."""


def _remainders() -> tuple[int, ...]:
    table = []
    for remainder in range(256):
        for _ in range(8):
            remainder = (remainder >> 1) ^ 0xA001 if remainder & 1 else remainder >> 1
        table.append(remainder)
    return tuple(table)


_REMAINDERS = _remainders()


def telling_messages(content: bytes) -> bytes:
    """The same file with only the messages in _KEPT. Raises RecordingCorrupt for damage anywhere in it."""
    parts = []
    try:
        at = 0
        while at < len(content):
            header_bytes, _, _, body_bytes, _ = header = _HEADER.unpack_from(content, at)
            begin, end = at + header_bytes, at + header_bytes + body_bytes
            if header_bytes < _HEADER.size or header[-1] != b".FIT":
                raise RecordingCorrupt("a part of it does not begin as a FIT file does")
            if _crc(content[at:end]) != _CRC.unpack_from(content, end)[0]:
                raise RecordingCorrupt("its checksum is wrong")
            parts.append(fit_file(header[1], header[2], b"".join(_kept(content, begin, end))))
            at = end + _CRC.size
    except (struct.error, IndexError) as error:
        raise RecordingCorrupt("it ends too early") from error
    return b"".join(parts)


def _kept(content: bytes, at: int, end: int) -> Iterator[bytes]:
    """The definitions and messages from `at` to `end` that are worth decoding."""
    sizes: dict[int, int] = {}
    kept: set[int] = set()
    while at < end:
        header = content[at]
        if header & _DEFINITION and not header & _COMPRESSED:
            local = header & 0x0F
            number, sizes[local], size = _definition(content, at)
            kept.discard(local)
            if number in _KEPT:
                kept.add(local)
        else:
            local = header >> 5 & 0x03 if header & _COMPRESSED else header & 0x0F
            if local not in sizes:
                raise RecordingCorrupt(f"its message at byte {at} has no definition")
            size = 1 + sizes[local]
        if at + size > end:
            raise RecordingCorrupt("its last message is cut short")
        if local in kept:
            yield content[at : at + size]
        at += size


def _definition(content: bytes, at: int) -> tuple[int, int, int]:
    """The number of the message that is defined, the size of its content, and that of the definition."""
    order = ">H" if content[at + 2] else "<H"
    (number,) = struct.unpack_from(order, content, at + 3)
    fields_at = at + 6
    size, fields_at = _fields(content, fields_at, content[at + 5])
    if content[at] & _WITH_DEVELOPER_FIELDS:
        more, fields_at = _fields(content, fields_at + 1, content[fields_at])
        size += more
    return number, size, fields_at - at


def _fields(content: bytes, at: int, count: int) -> tuple[int, int]:
    """The size of all fields together, and where their definitions end."""
    end = at + _FIELD_BYTES * count
    return sum(content[at + 1 : end : _FIELD_BYTES]), end


def fit_file(protocol: int, profile: int, body: bytes) -> bytes:
    content = _HEADER.pack(_HEADER.size, protocol, profile, len(body), b".FIT") + body
    return content + _CRC.pack(_crc(content))


def _crc(data: bytes) -> int:
    crc = 0
    remainders = _REMAINDERS
    for byte in data:
        crc = crc >> 8 ^ remainders[(crc ^ byte) & 0xFF]
    return crc
