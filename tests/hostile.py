"""Recorded files that somebody made to do harm, each as large as the service takes it, or smaller."""

import gzip
import struct
from collections.abc import Callable, Iterator

from fitness.adapters.files.fit_messages import fit_file
from tests.files import A_TRACK, FitFile, gpx, lap, tcx, tcx_activity, track

MOST_BYTES = 25_000_000

TIMES = ("2026-05-01T06:00:00Z", "2026-05-01T06:05:00Z", "2026-05-01T06:10:00Z")
A_LAP = lap("2026-05-01T06:00:00Z", seconds=600, metres=2000, kcal=100, average=130, highest=150)
A_TCX = tcx(tcx_activity(A_LAP))
A_FIT = FitFile().sport("Run").session().content()

ENTITY = '<!DOCTYPE gpx [<!ENTITY e "SMUGGLED">]>'
SMUGGLED = track(*TIMES, name="&e;")
KNOWN_ENCODINGS = ["utf-8", "utf-16", "iso-8859-1"]
OTHER_ENCODINGS = ["windows-1252", "utf-7", "raw_unicode_escape", "unicode_escape", "punycode"]


def packed(content: bytes, level: int = 1) -> bytes:
    return gzip.compress(content, level, mtime=0)


def repeated(piece: bytes, size: int) -> bytes:
    return piece * (size // len(piece))


def nested_gzip(levels: int) -> bytes:
    content = A_TRACK
    for _ in range(levels):
        content = packed(content)
    return content


def bomb(size: int) -> bytes:
    """A member that unpacks to so much, of which it does not take the whole to make it."""
    return packed(b"\0" * (size // 20)) * 20


def fit_of(body: bytes, *, size: int | None = None) -> bytes:
    """With a right checksum, and perhaps a wrong size."""
    content = fit_file(0x10, 2132, body)  # the service's own: it is made to be quick
    return content if size is None else content[:4] + struct.pack("<I", size) + content[8:]


def fit_sessions(count: int) -> bytes:
    file = FitFile().session()
    definition_and_one = file._body
    one = definition_and_one[-24:]  # sizes: see FitFile.session; the header byte is in front of it
    return fit_of(definition_and_one + one * count)


def field_descriptions(size: int) -> bytes:
    """Each is decoded, unlike records."""
    developer = struct.pack("<BBBHB", 0x41, 0, 0, 207, 1) + bytes([3, 1, 2]) + b"\1\0"
    definition = developer + struct.pack("<BBBHB", 0x40, 0, 0, 206, 4) + bytes([0, 1, 2, 1, 1, 2, 2, 1, 2, 3, 8, 7])
    return fit_of(definition + repeated(b"\0" + bytes([0, 1, 2]) + b"abcdefg\0", size - 100))


def definitions(size: int) -> bytes:
    """Each has 255 fields."""
    one = struct.pack("<BBBHB", 0x40, 0, 0, 18, 255) + bytes([2, 4, 0x86]) * 255
    return fit_of(repeated(one, size - 100))


def records(size: int) -> bytes:
    definition = struct.pack("<BBBHB", 0x40, 0, 0, 20, 1) + bytes([3, 1, 2])
    return fit_of(FitFile().session()._body + definition + repeated(b"\0\x80", size - 300))


def points(size: int, *, of: bytes) -> bytes:
    """A track of as many as fit, between two that have a time."""
    first, last = (f'<trkpt lat="1" lon="1"><time>{time}</time></trkpt>'.encode() for time in TIMES[:2])
    return b"<gpx><trk><trkseg>" + first + repeated(of, size - 300) + last + b"</trkseg></trk></gpx>"


def trackpoints(size: int) -> bytes:
    one = b"<Trackpoint><AltitudeMeters>1</AltitudeMeters></Trackpoint>"
    lap_with = A_LAP.replace("</Lap>", "<Track>@</Track></Lap>")
    return tcx(tcx_activity(lap_with)).replace(b"@", repeated(one, size - 1_000))


def declared(encoding: str) -> bytes:
    """An entity in a title, in a file that says of itself to be in that encoding, and is where Python knows it."""
    text = f'<?xml version="1.0" encoding="{encoding}"?>{ENTITY}<gpx version="1.1">{SMUGGLED}</gpx>'
    return text.encode(encoding)


def hidden_entity() -> bytes:
    """Markup to Python's codec of that name, characters to expat."""
    head = rb'<?xml version="1.0" encoding="raw_unicode_escape"?>'
    dtd = rb'<?x ?\u003e\u003c!DOCTYPE gpx [\u003c!ENTITY e9 "SMUGGLED"\u003e]\u003e\u003c?x ?>'
    return head + dtd + b"<gpx>" + track(*TIMES, name=r"\u0026e9;").encode() + b"</gpx>"


def laughs() -> bytes:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    return gpx(track(*TIMES, name="&e9;"), header=f"<!DOCTYPE gpx [{entities}]>")


def inside_gpx(open_: bytes, filler: bytes, close: bytes, size: int) -> bytes:
    return b"<gpx>" + open_ + repeated(filler, size - 800) + close + track(*TIMES).encode() + b"</gpx>"


def numbered(form: str, size: int) -> bytes:
    count = size // (len(form) + 6)
    return "".join(form % number for number in range(count)).encode()[: size - 200]


def cuts(content: bytes) -> Iterator[bytes]:
    """Cut off at every hundredth."""
    for hundredth in range(1, 100):
        yield content[: len(content) * hundredth // 100]


Make = Callable[[], bytes]


def hostile_files(size: int = MOST_BYTES) -> dict[str, Make]:
    """Each is made when it is asked for: together they would not fit into the memory of a small machine."""
    empty, one_byte = packed(b""), packed(b"x")
    few = size // 1_000
    files: dict[str, Make] = {
        "empty gzip members": lambda: repeated(empty, size),
        "gzip members of one byte": lambda: repeated(one_byte, size),
        "gzip members of a track cut in bytes": lambda: b"".join(packed(bytes([byte])) for byte in A_TRACK * 20),
        "gzip in gzip in gzip": lambda: nested_gzip(3),
        "a hundred times gzip": lambda: nested_gzip(100),
        "gzip of a hundred times as much": lambda: bomb(40 * size),
        "gzip of nothing but blanks": lambda: packed(b" " * size),
        "gzip without an end": lambda: packed(A_TRACK * 1_000)[:-8],
        "zip": lambda: b"PK\x03\x04" + bytes(size - 4),
        "TCX of 20 000 activities": lambda: packed(tcx(*[tcx_activity(A_LAP)] * min(20_000, few))),
        "TCX of activities without laps": lambda: tcx(*[tcx_activity()] * (size // 100)),
        "GPX of 20 000 tracks": lambda: packed(gpx(*[track(*TIMES)] * min(20_000, few))),
        "GPX of tracks without times": lambda: gpx(*[track(None, None)] * (size // 300)),
        "FIT of 20 000 sessions": lambda: fit_sessions(min(20_000, few)),
        "a million bare points": lambda: packed(points(size, of=b'<trkpt lat="1" lon="1"/>')),
        "half a million points": lambda: points(size, of=b'<trkpt lat="1.5" lon="1.5"><ele>1</ele></trkpt>'),
        "points far apart": lambda: points(size, of=b'<trkpt lat="1" lon="1"/><trkpt lat="-9" lon="170"/>'),
        "heart rates": lambda: points(
            size, of=b'<trkpt lat="1" lon="1"><extensions><hr>99</hr><hr>99</hr><hr>99</hr></extensions></trkpt>'
        ),
        "half a million trackpoints": lambda: trackpoints(size),
        "FIT records": lambda: records(size),
        "FIT records in a small file": lambda: records(min(size, 900_000)),
        "FIT field descriptions": lambda: field_descriptions(size),
        "FIT field descriptions in a small file": lambda: field_descriptions(min(size, 900_000)),
        "FIT definitions": lambda: definitions(size),
        "FIT that says to be longer": lambda: fit_of(FitFile().session()._body, size=2**32 - 1),
        "FIT that says to be shorter": lambda: fit_of(FitFile().session()._body, size=10),
        "FIT that says to be empty": lambda: fit_of(b"") + A_FIT,
        "FIT of empty files": lambda: repeated(fit_of(b""), size),
        "FIT of a large header": lambda: bytes([255]) + A_FIT[1:] + bytes(300),
        "FIT of zeros": lambda: A_FIT[:14] + bytes(size - 14),
        "FIT with a message that has no definition": lambda: fit_of(b"\x0f" * 1_000),
        "billion laughs": laughs,
        "an entity for Python alone": hidden_entity,
        "an external entity": lambda: gpx(header='<!DOCTYPE gpx SYSTEM "file:///etc/passwd">'),
        "an external DTD of parameters": lambda: gpx(header='<!DOCTYPE gpx [<!ENTITY % p SYSTEM "file:///x">%p;]>'),
        "deep XML": lambda: packed(b"<gpx>" + b"<a>" * (size // 3 - 10)),
        "deep extensions": lambda: points(300, of=b"-").replace(
            b"<time>", b"<extensions>" + b"<a>" * (size // 3 - 400), 1
        ),
        "an attribute of 25 MB": lambda: b'<gpx a="' + b"x" * (size - 20) + b'"/>',
        "a wide attribute": lambda: b'<gpx a="' + "\U0001f600".encode() + b"x" * (size - 20) + b'"/>',
        "very many attributes": lambda: b"<gpx " + numbered('a%d="" ', size) + b"/>",
        "an open tag": lambda: b"<gpx><trk" + b" " * (size - 9),
        "a title of 25 MB": lambda: inside_gpx(b"<trk><name>", b"long ", b"</name></trk>", size),
        "a title of pieces": lambda: inside_gpx(b"<trk><name>", b"a&amp;", b"</name></trk>", size),
        "a comment of 25 MB": lambda: inside_gpx(b"<!--", b"comment ", b"-->", size),
        "very many comments": lambda: inside_gpx(b"", b"<!---->", b"", size),
        "very many names": lambda: b"<gpx>" + numbered("<e%d/>", size) + b"</gpx>",
        "very many namespaces": lambda: b"<gpx>" + numbered('<a xmlns:n%d="u"/>', size) + b"</gpx>",
        "very many processing instructions": lambda: inside_gpx(b"", b"<?x ?>", b"", size),
        "numbers of many digits": lambda: points(300, of=b"-").replace(b'"1"', b'"' + b"1" * (size // 4 - 400) + b'"'),
        "XML that ends in the middle": lambda: points(size, of=b'<trkpt lat="1" lon="1"/>')[:-20],
        "UTF-16 of 25 MB": lambda: (
            '<?xml version="1.0" encoding="UTF-16"?>' + points(size // 2 - 100, of=b'<trkpt lat="1" lon="1"/>').decode()
        ).encode("utf-16"),
        "bytes of every kind": lambda: repeated(bytes(range(256)), size),
        "the root again and again": lambda: repeated(b"<gpx ", size),
    }
    for encoding in (*KNOWN_ENCODINGS, *OTHER_ENCODINGS):
        files[f"an entity in {encoding}"] = lambda encoding=encoding: declared(encoding)  # type: ignore[misc]
    return files


def cut_files() -> dict[str, Make]:
    """A file of each format, and a packed one, cut off at every hundredth."""
    whole = {"GPX": A_TRACK, "TCX": A_TCX, "FIT": A_FIT, "packed GPX": packed(A_TRACK, 9)}
    return {
        f"{name} cut at {number} %": lambda cut=cut: cut  # type: ignore[misc]
        for name, content in whole.items()
        for number, cut in enumerate(cuts(content), start=1)
    }
