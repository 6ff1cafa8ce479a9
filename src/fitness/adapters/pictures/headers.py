"""Reads a picture's header before the picture is decoded, and refuses pictures whose decoding takes too much memory."""

from io import BytesIO

from PIL import Image, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from fitness.domain.model.file_refusals import PictureCorrupt, PictureRefused, PictureTooManyPixels, PictureUnknown

FORMATS = (JpegImageFile.format, PngImagePlugin.PngImageFile.format, WebPImagePlugin.WebPImageFile.format)
"""The only formats that Pillow may read: its readers of rare formats are seldom reviewed."""

MEGAPIXEL = 1_000_000
MAX_PIXELS = 24 * MEGAPIXEL

MAX_WEBP_PIXELS = 8 * MEGAPIXEL
"""Pillow decodes WebP by libwebp's decoder of animations, which takes 16 to 20 bytes a pixel; other formats take 4."""

MAX_SIDE_PX = 65_535
"""The limit of JPEG. Pillow takes memory for each row, so a narrow picture of very many rows would take too much."""

MAX_COEFFICIENT_BYTES = 3 * MAX_PIXELS
"""libjpeg keeps all coefficients of a progressive JPEG, two bytes each, until its last scan. This is enough for the
largest picture if its colours have half of its resolution, as cameras write them."""

# Our own limits are lower, and are checked before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")


def opened(data: bytes) -> ImageFile:
    """The picture, with only its header read. Raises PictureRefused, and whatever Pillow raises for damage."""
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise _unknown(data) from error
    assert isinstance(image, ImageFile)
    _refuse_too_many(image)
    return image


def _unknown(data: bytes) -> PictureRefused:
    """HEIC and AVIF are named, since owners of phones cannot know why their photos are refused."""
    if data.startswith(_BEGINNINGS) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP"):
        return PictureCorrupt("its header makes no sense")
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return PictureUnknown("HEIC or AVIF, which is not read; send it as JPEG, PNG or WebP")
    return PictureUnknown()


def _refuse_too_many(image: ImageFile) -> None:
    most, of = (MAX_WEBP_PIXELS, "a WebP") if image.format == "WEBP" else (MAX_PIXELS, "it")
    found = f"{image.width} x {image.height}"
    if image.width * image.height > most:
        raise PictureTooManyPixels(f"{of} may have {most // MEGAPIXEL} megapixels, and has {found}")
    if max(image.size) > MAX_SIDE_PX:
        raise PictureTooManyPixels(f"each side may have {MAX_SIDE_PX} pixels, and it has {found}")
    if isinstance(image, JpegImageFile) and _coefficient_bytes(image) > MAX_COEFFICIENT_BYTES:
        raise PictureTooManyPixels("a progressive JPEG of this kind takes too much memory to read")


def _coefficient_bytes(image: JpegImageFile) -> int:
    """Bytes of coefficients that a progressive JPEG keeps; 0 for others, which keep next to none."""
    if not image.info.get("progressive"):
        return 0
    factors = [(across, down) for _, across, down, _ in image.layer]
    most_across, most_down = (max(each, default=1) or 1 for each in zip(*factors, strict=True))
    samples = sum(across * down for across, down in factors) / (most_across * most_down)
    return int(2 * samples * image.width * image.height)
