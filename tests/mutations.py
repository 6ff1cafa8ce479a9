"""Recorded files with faults made at random: cut, with other bytes, with fields that changed places."""

import re
import struct
from collections.abc import Callable
from random import Random

from fitness.adapters.files.fit_messages import fit_file
from tests.recorded import a_run, as_bare_tcx, as_fit, as_gpx, as_tcx

_SECONDS = 90

_NUMBER = re.compile(rb"-?\d+\.?\d*")
_ODD = [b"-1", b"0", b"NaN", b"inf", b"1e300", b"99999999", b"", b"<", b"1901", b"\xff", b"181", b"-0.0", b"4294967295"]

BASES: dict[str, list[Callable[[], bytes]]] = {
    "GPX": [lambda: as_gpx(a_run(_SECONDS))],
    "TCX": [lambda: as_tcx(a_run(_SECONDS), TotalTimeSeconds=_SECONDS), lambda: as_bare_tcx(a_run(_SECONDS))],
    "FIT": [lambda: as_fit(a_run(_SECONDS)), lambda: as_fit(a_run(_SECONDS), session=False)],
}


def mutated(form: str, seed: int) -> bytes:
    """Another file for each seed, always the same one."""
    random = Random(f"{form} {seed}")
    content = random.choice(BASES[form])()
    for _ in range(random.choice((1, 1, 1, 2, 5, 20))):
        content = random.choice(_FIT_FAULTS if form == "FIT" else _XML_FAULTS)(content, random)
    if form == "FIT" and random.random() < 0.7:
        content = _with_a_right_checksum(content)
    return content


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(14, max(15, len(content)))]


def _other_byte(content: bytes, random: Random) -> bytes:
    at = random.randrange(14, max(15, len(content)))
    return content[:at] + bytes([random.randrange(256)]) + content[at + 1 :]


def _flipped_bit(content: bytes, random: Random) -> bytes:
    at = random.randrange(14, max(15, len(content)))
    return content[:at] + bytes([content[min(at, len(content) - 1)] ^ 1 << random.randrange(8)]) + content[at + 1 :]


def _piece_left_out(content: bytes, random: Random) -> bytes:
    at = random.randrange(14, max(15, len(content)))
    return content[:at] + content[at + random.randrange(1, 100) :]


def _piece_twice(content: bytes, random: Random) -> bytes:
    at = random.randrange(14, max(15, len(content)))
    return content[:at] + content[at : at + random.randrange(1, 300)] + content[at:]


def _other_number(content: bytes, random: Random) -> bytes:
    numbers = list(_NUMBER.finditer(content))
    if not numbers:
        return content
    found = random.choice(numbers)
    other = random.choice([*_ODD, str(random.uniform(-1e6, 1e6)).encode(), str(random.randrange(100)).encode()])
    return content[: found.start()] + other + content[found.end() :]


def _numbers_swapped(content: bytes, random: Random) -> bytes:
    numbers = list(_NUMBER.finditer(content))
    if len(numbers) < 2:
        return content
    one, other = sorted(random.sample(numbers, 2), key=lambda found: found.start())
    between = content[one.end() : other.start()]
    return content[: one.start()] + other.group() + between + one.group() + content[other.end() :]


def _elements_renamed(content: bytes, random: Random) -> bytes:
    names = sorted({*re.findall(rb"<(\w+)>", content)})
    if len(names) < 2:
        return content
    one, other = random.sample(names, 2)
    return content.replace(b"<" + one + b">", b"<" + other + b">").replace(b"</" + one + b">", b"</" + other + b">")


def _other_field(content: bytes, random: Random) -> bytes:
    """In a definition of records or of a session: another number, size or type."""
    places = [found.end() for found in re.finditer(rb"[\x40-\x4f]\x00\x00[\x14\x12]\x00[\x01-\x20]", content)]
    if not places:
        return content
    at = random.choice(places) + random.randrange(24)
    return (
        content[:at] + bytes([random.choice((0, 1, 2, 4, 5, 7, 8, 9, 253, random.randrange(256)))]) + content[at + 1 :]
    )


def _with_a_right_checksum(content: bytes) -> bytes:
    if len(content) < 16:
        return content
    protocol, profile = struct.unpack_from("<BH", content, 1)
    return fit_file(protocol, profile, content[14:-2])


_ANY_FAULTS = [_cut, _other_byte, _other_byte, _flipped_bit, _flipped_bit, _piece_left_out, _piece_twice]
_XML_FAULTS = [*_ANY_FAULTS, *[_other_number] * 4, *[_numbers_swapped] * 4, _elements_renamed]
_FIT_FAULTS = [*_ANY_FAULTS, *[_other_field] * 3]
