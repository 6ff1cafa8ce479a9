"""Decodes a picture and encodes it anew in both sizes; runs in a separate process."""

import logging
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pickle import PickleBuffer

from PIL import ExifTags, Image, ImageCms

from fitness.adapters.pictures.headers import opened
from fitness.domain.model.file_refusals import PictureCorrupt, PictureEmpty
from fitness.domain.model.photos import LONGEST_SIDE_PX, PhotoSize, Picture, Rendition

QUALITY = {PhotoSize.LARGE: 85, PhotoSize.SMALL: 80}
CONTENT_TYPE = "image/jpeg"

BAND_PX = 16
"""Rows that are converted at once: converting all of a large picture would take its memory once more."""

_WHITE = (255, 255, 255)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The turn that makes a picture upright, by the value of EXIF's Orientation; 1 is upright."""

# What Pillow raises for damage; its own classes are OSErrors.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_log = logging.getLogger(__name__)


def render(data: bytes | PickleBuffer) -> Picture:
    """Raises a PictureRefused."""
    if not (content := bytes(data)):
        raise PictureEmpty
    try:
        return _rendered(content)
    except _DAMAGE as error:
        raise PictureCorrupt("it cannot be decoded") from error


@dataclass(frozen=True, slots=True)
class _Decoded:
    pixels: Image.Image
    """RGB, no smaller than the large size."""
    large_size: tuple[int, int]
    orientation: int
    """The value of EXIF's Orientation; 1 is upright."""
    profile: bytes | None


def _rendered(content: bytes) -> Picture:
    decoded = _decoded(content)
    large = _in_srgb(decoded.pixels.resize(decoded.large_size, Image.Resampling.LANCZOS), decoded.profile)
    if (turn := _UPRIGHT.get(decoded.orientation)) is not None:
        large = large.transpose(turn)
    small = large.resize(_fitted(large.size, PhotoSize.SMALL), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return Picture(_encoded(large, PhotoSize.LARGE), _encoded(small, PhotoSize.SMALL))


def _decoded(content: bytes) -> _Decoded:
    """Pillow's memory for decoding is free again when this returns, before more memory is taken."""
    with opened(content) as image:
        size = _fitted(image.size, PhotoSize.LARGE)
        # JPEG is decoded at a half or a quarter of its size where that is still large enough.
        image.draft(None, size)
        image.load()
        if image.fp is not None:  # for a WebP it holds the decoded pixels once more
            image.fp.close()
        profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
        return _Decoded(_reduced(image), size, _orientation(image), profile)


def _fitted(size: tuple[int, int], to: PhotoSize) -> tuple[int, int]:
    """`size` in the same shape, with the longest side that `to` allows; unchanged if it is not longer."""
    longest = max(*size, LONGEST_SIDE_PX[to])
    width, height = (max(1, round(side * LONGEST_SIDE_PX[to] / longest)) for side in size)
    return width, height


def _reduced(image: Image.Image) -> Image.Image:
    """RGB, white where it was transparent, reduced by a whole factor but no smaller than the large size."""
    factor = max(1, max(image.size) // LONGEST_SIDE_PX[PhotoSize.LARGE])
    rows = BAND_PX * factor
    reduced = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for top in range(0, image.height, rows):
        band = _opaque(image.crop((0, top, image.width, min(top + rows, image.height))))
        reduced.paste(band.reduce(factor), (0, top // factor))
    return reduced


def _opaque(band: Image.Image) -> Image.Image:
    if band.mode.startswith("I"):  # 16 bits a pixel: Pillow would cut off values at 255
        band = band.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if not band.has_transparency_data:
        return band.convert("RGB")
    seen = band.convert("RGBA")
    opaque = Image.new("RGB", band.size, _WHITE)
    opaque.paste(seen, mask=seen.getchannel("A"))
    return opaque


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture with its colours converted from `profile`; unchanged without one, or if it makes no sense."""
    if not profile:
        return picture
    try:
        meant = ImageCms.getOpenProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(picture, meant, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, *_DAMAGE) as error:
        _log.info("the colour profile of a picture is left out: %r", error)
        return picture
    return picture if converted is None else converted


def _orientation(image: Image.Image) -> int:
    """The value of EXIF's Orientation; 1, which is upright, if it cannot be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _DAMAGE:
        return 1


def _encoded(picture: Image.Image, size: PhotoSize) -> Rendition:
    """Encode the pixels alone: `info` is emptied, since Pillow would copy comments and profiles from it."""
    picture.info = {}
    content = BytesIO()
    picture.save(content, "JPEG", quality=QUALITY[size], optimize=True)
    return Rendition(content.getvalue(), CONTENT_TYPE, *picture.size)
