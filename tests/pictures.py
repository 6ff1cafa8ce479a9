"""Pictures to upload: with all that cameras write beside the pixels, and some that were made to do harm."""

import struct
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.PngImagePlugin import PngInfo

from fitness.domain.model.photos import MAX_PHOTO_BYTES

SECRET = b"47.123456 N by Ann's own camera"
"""Stands in every place of a file that is not pixels."""

RED, BLUE = (220, 30, 30), (30, 30, 220)


def drawn(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    """Red, with a blue upper left quarter: so it shows how it is turned."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (0, 0, width // 2, height // 2))
    return picture.convert(mode)


def encoded(picture: Image.Image, format_: str, **how: Any) -> bytes:
    file = BytesIO()
    picture.save(file, format_, **how)
    return file.getvalue()


def exif(orientation: int = 1) -> Image.Exif:
    written = Image.Exif()
    written[Base.Orientation] = orientation
    written[Base.Make] = SECRET.decode()
    written.get_ifd(IFD.GPSInfo).update({GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (47.0, 7.0, 24.4416)})
    written.get_ifd(IFD.GPSInfo)[GPS.GPSProcessingMethod] = SECRET
    return written


@cache
def a_jpeg(width: int = 60, height: int = 40, orientation: int = 1) -> bytes:
    how = {"exif": exif(orientation), "comment": SECRET, "xmp": b"<x>" + SECRET + b"</x>", "quality": 95}
    return encoded(drawn(width, height), "JPEG", **how) + SECRET


@cache
def a_png() -> bytes:
    texts = PngInfo()
    texts.add_text("Comment", SECRET.decode())
    texts.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    return encoded(drawn(), "PNG", exif=exif(), pnginfo=texts) + SECRET


@cache
def a_webp() -> bytes:
    return encoded(drawn(), "WEBP", lossless=True, exif=exif(), xmp=SECRET) + SECRET


@cache
def png_of(width: int, height: int, rows: int | None = None) -> bytes:
    """One bit a pixel, all of them 0: a few thousand bytes for as many pixels as it says. `rows` of them are there."""
    content = zlib.compress(bytes((-(-width // 8) + 1) * (height if rows is None else rows)), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def moving(format_: str) -> bytes:
    frames = [drawn(), Image.new("RGB", (60, 40), "green")]
    return encoded(frames[0], format_, save_all=True, append_images=frames[1:], duration=100)


@cache
def text_bomb() -> bytes:
    """A PNG whose comment unpacks to 100 MB."""
    comment = b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9)
    plain = encoded(drawn(), "PNG")
    return plain[:33] + _chunk(b"zTXt", comment) + plain[33:]


@cache
def progressive(width: int, height: int) -> bytes:
    """All three colours at full resolution."""
    return encoded(Image.new("RGB", (width, height), RED), "JPEG", progressive=True, subsampling=0)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500)
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'

REFUSED: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "nothing": (lambda: b"", 422, "photo_empty"),
    "text": (lambda: b"no picture", 422, "photo_unknown"),
    "SVG": (lambda: SVG, 422, "photo_unknown"),
    "GIF": (lambda: encoded(drawn(), "GIF"), 422, "photo_unknown"),
    "moving GIF": (lambda: moving("GIF"), 422, "photo_unknown"),
    "TIFF": (lambda: encoded(drawn(), "TIFF"), 422, "photo_unknown"),
    "BMP": (lambda: encoded(drawn(), "BMP"), 422, "photo_unknown"),
    "HEIC": (lambda: HEIC, 422, "photo_unknown"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 422, "photo_unknown"),
    "ZIP before JPEG": (lambda: b"PK\x03\x04" + a_jpeg(), 422, "photo_unknown"),
    "JPEG cut short": (lambda: encoded(drawn(600, 400), "JPEG")[:-400], 422, "photo_corrupt"),
    "PNG cut short": (lambda: encoded(drawn(), "PNG")[:-30], 422, "photo_corrupt"),
    "PNG cut in its header": (lambda: encoded(drawn(), "PNG")[:20], 422, "photo_corrupt"),
    "WebP cut short": (lambda: a_webp()[:60], 422, "photo_corrupt"),
    "JPEG of a header": (lambda: encoded(drawn(), "JPEG")[:200], 422, "photo_corrupt"),
    "PNG of 12 000 x 12 000": (lambda: png_of(12_000, 12_000), 422, "photo_too_many_pixels"),
    "PNG that says to be endless": (lambda: png_of(2**31 - 1, 2**31 - 1, rows=0), 422, "photo_too_many_pixels"),
    "PNG just too large": (lambda: png_of(6_001, 4_000), 422, "photo_too_many_pixels"),
    "PNG of one column": (lambda: png_of(1, 20_000_000), 422, "photo_too_many_pixels"),
    "PNG just too wide": (lambda: png_of(65_536, 1), 422, "photo_too_many_pixels"),
    "JPEG just too large": (
        lambda: encoded(Image.new("L", (6_001, 4_000)), "JPEG", quality=20),
        422,
        "photo_too_many_pixels",
    ),
    "WebP just too large": (
        lambda: encoded(Image.new("RGB", (4_001, 2_000)), "WEBP", lossless=True, method=0),
        422,
        "photo_too_many_pixels",
    ),
    "progressive JPEG that takes too much": (lambda: progressive(4_001, 3_000), 422, "photo_too_many_pixels"),
    "PNG with a text of 100 MB": (text_bomb, 422, "photo_corrupt"),
}
"""By what they are: how each is made, and the status and code that it is refused with."""

ACCEPTED: dict[str, Callable[[], bytes]] = {
    "JPEG with a ZIP behind it": lambda: a_jpeg() + b"PK\x03\x04" + SVG,
    "moving PNG": lambda: moving("PNG"),
    "moving WebP": lambda: moving("WEBP"),
    "JPEG of several pictures": lambda: moving("MPO"),
    "JPEG of 10 MB": lambda: a_jpeg().ljust(MAX_PHOTO_BYTES, b"\0"),
    "JPEG of 24 megapixels": lambda: encoded(drawn(6_000, 4_000), "JPEG", subsampling=0),
    "progressive JPEG of 12 megapixels": lambda: progressive(4_000, 3_000),
    "progressive JPEG of 24 megapixels": lambda: encoded(drawn(6_000, 4_000), "JPEG", progressive=True),
    "PNG of 24 megapixels": lambda: png_of(6_000, 4_000),
    "transparent PNG of 24 megapixels": lambda: encoded(Image.new("RGBA", (6_000, 4_000)), "PNG", compress_level=1),
    "WebP of 8 megapixels": lambda: encoded(Image.new("RGBA", (4_000, 2_000)), "WEBP", lossless=True, method=0),
    "PNG of one row": lambda: png_of(65_535, 1),
}
"""Odd ones, and the largest of their kinds, of which photos are made."""
