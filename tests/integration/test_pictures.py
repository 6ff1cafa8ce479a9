"""Pictures read by Pillow: the reader under its port's contract, what is kept of each format, and what is refused."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageCms, ImageOps

from fitness.adapters.pictures.reader import LIMITS, PillowPictureReader
from fitness.adapters.pictures.rendering import render
from fitness.domain.model.file_refusals import PictureRefused, PictureTooManyPixels
from fitness.domain.model.photos import Rendition
from fitness.entrypoints.http.kinds import KINDS
from fitness.foundation.parent_death import die_with_parent
from fitness.ports.outages import ReaderUnavailable
from fitness.ports.pictures import PictureReaderPort
from tests.pictures import ACCEPTED, BLUE, RED, REFUSED, SECRET, a_jpeg, a_png, a_webp, encoded, moving, png_of
from tests.unit.contracts.pictures import PictureReaderContract

JPEG_TABLES = {0xC0, 0xC4, 0xDA, 0xDB, 0xE0}
"""Frame, Huffman tables, scan, quantization, JFIF: what a JPEG cannot do without."""

MOST_MIB = 150


def opened(content: bytes) -> Image.Image:
    with Image.open(BytesIO(content)) as image:
        image.load()
        return image


def seen(rendition: Rendition) -> Image.Image:
    return opened(rendition.content)


def near(pixel: object, colour: tuple[float, ...]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(one - other) < 12 for one, other in zip(pixel, colour, strict=True))


def segments(jpeg: bytes) -> set[int]:
    """The markers of its segments up to the scan."""
    found, at = set(), 2
    while True:
        assert jpeg[at] == 0xFF
        found.add(jpeg[at + 1])
        if jpeg[at + 1] == 0xDA:
            return found
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])


@pytest.fixture(scope="module")
def reader() -> Iterator[PictureReaderPort]:
    reader = PillowPictureReader(partial(die_with_parent, os.getpid()))
    yield reader
    reader.close()


class TestPillowPictureReader(PictureReaderContract):
    """On the module's `reader`, whose process takes a moment to start."""


@pytest.mark.parametrize("make", [a_jpeg, a_png, a_webp], ids=["JPEG", "PNG", "WebP"])
def test_of_every_format_the_pixels_are_kept_and_nothing_else(make: Callable[[], bytes]):
    assert SECRET in make()  # in its comment, its XMP, its EXIF and behind its end
    assert opened(make()).getexif().get_ifd(0x8825)  # the position
    for rendition in render(make()):
        assert SECRET not in rendition.content
        assert segments(rendition.content) == JPEG_TABLES
        assert rendition.content.endswith(b"\xff\xd9")
        assert not seen(rendition).getexif()
        assert seen(rendition).info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert near(seen(rendition).getpixel((5, 5)), BLUE)
        assert near(seen(rendition).getpixel((50, 30)), RED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_camera_was_held(orientation: int):
    expected = ImageOps.exif_transpose(opened(a_jpeg(orientation=orientation)))
    for rendition in render(a_jpeg(orientation=orientation)):
        assert seen(rendition).size == expected.size == ((60, 40) if orientation < 5 else (40, 60))
        for corner in ((5, 5), (5, expected.height - 6), (expected.width - 6, 5)):
            colour = expected.getpixel(corner)
            assert isinstance(colour, tuple)
            assert near(seen(rendition).getpixel(corner), colour)


@pytest.mark.parametrize(
    ("size", "large", "small"),
    [
        ((6000, 4000), (2048, 1365), (400, 267)),
        ((4000, 6000), (1365, 2048), (267, 400)),
        ((2049, 100), (2048, 100), (400, 20)),
        ((2048, 2048), (2048, 2048), (400, 400)),
        ((401, 3), (401, 3), (400, 3)),
        ((1, 1), (1, 1), (1, 1)),
        ((9000, 1), (2048, 1), (400, 1)),
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_a_picture_is_fitted_into_both_sizes_and_never_enlarged(
    size: tuple[int, int], large: tuple[int, int], small: tuple[int, int], format_: str
):
    picture = render(encoded(Image.new("L", size, 77), format_))
    for rendition, expected in zip(picture, (large, small), strict=True):
        assert seen(rendition).size == (rendition.width, rendition.height) == expected
        assert near(seen(rendition).convert("RGB").getpixel((0, 0)), (77, 77, 77))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_pixels_is_read(mode: str):
    if mode == "I;16":
        content, colour = encoded(Image.new("I;16", (3000, 60), 0x8000), "PNG"), (128, 128, 128)
    elif mode in ("1", "L", "LA"):
        content, colour = encoded(Image.new("L", (3000, 60), 255).convert(mode), "PNG"), (255, 255, 255)
    else:
        content = encoded(Image.new("RGB", (3000, 60), RED).convert(mode), "JPEG" if mode == "CMYK" else "PNG")
        colour = RED
    for rendition in render(content):
        assert near(seen(rendition).convert("RGB").getpixel((200, rendition.height // 2)), colour)


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_what_is_transparent_becomes_white(format_: str):
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    for rendition in render(encoded(clear, format_)):
        assert near(seen(rendition).getpixel((20, 20)), (255, 255, 255))


def test_colours_are_those_that_the_profile_means():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    for profile, colour in ((srgb, RED), (swapped, BLUE), (b"no profile", RED)):
        for rendition in render(encoded(Image.new("RGB", (40, 40), RED), "PNG", icc_profile=profile)):
            assert near(seen(rendition).getpixel((20, 20)), colour)
            assert "icc_profile" not in seen(rendition).info


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "MPO"])
def test_of_a_moving_picture_the_first_frame_is_kept(format_: str):
    for rendition in render(moving(format_)):
        assert near(seen(rendition).getpixel((5, 5)), BLUE)
        assert near(seen(rendition).getpixel((50, 30)), RED)


def test_of_a_file_of_two_formats_the_picture_alone_is_kept():
    page = b"<script>alert(1)</script>"
    for rendition in render(a_jpeg() + b"PK\x03\x04" + page):
        assert page not in rendition.content
        assert b"PK" not in rendition.content


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_refused_with_a_code_that_says_why(name: str):
    make, status, code = REFUSED[name]
    with pytest.raises(PictureRefused) as refusal:
        render(make())
    kind = KINDS[refusal.type]
    assert (kind.status, kind.code) == (status, code)


def test_every_part_of_a_picture_is_a_picture_or_refused():
    for whole in (a_jpeg(), a_png(), a_webp()):
        for end in range(0, len(whole), 7):
            try:
                render(whole[:end])
            except PictureRefused:
                continue


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_ones_and_the_largest_that_may_be_are_read(name: str):
    for rendition in render(ACCEPTED[name]()):
        assert seen(rendition).size == (rendition.width, rendition.height)


async def test_no_picture_takes_more_memory_than_a_process_has_for_it():
    with closing(PillowPictureReader(partial(die_with_parent, os.getpid()))) as reader:
        await reader.read(a_jpeg())
        (pid,) = reader.pids()
        before_mib = peak_mib(pid)
        for make in ACCEPTED.values():
            await reader.read(make())
        with pytest.raises(PictureTooManyPixels):
            await reader.read(png_of(12_000, 12_000))
        assert reader.pids() == [pid]
        assert 90 < peak_mib(pid) - before_mib < MOST_MIB


def peak_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


async def test_a_picture_that_takes_too_much_memory_is_refused_and_the_next_one_is_read():
    little = replace(LIMITS, memory_bytes=100 * 1024**2)
    with closing(PillowPictureReader(partial(die_with_parent, os.getpid()), little)) as reader:
        with pytest.raises(PictureTooManyPixels, match="memory"):
            await reader.read(encoded(Image.new("RGB", (6_000, 4_000)), "PNG", compress_level=1))
        await reader.read(a_jpeg())


async def test_a_reading_that_is_cut_off_says_so_and_one_that_is_left_ends():
    with closing(PillowPictureReader(partial(die_with_parent, os.getpid()))) as reader:
        large = encoded(Image.effect_noise((3_000, 2_000), 80), "PNG", compress_level=1)
        await reader.read(a_jpeg())
        (pid,) = reader.pids()
        reading = asyncio.ensure_future(reader.read(large))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ReaderUnavailable):
            await reading
        left = asyncio.ensure_future(reader.read(large))
        while not reader.pids() or reader.pids() == [pid]:  # noqa: ASYNC110 - ends: the next process is started
            await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        await reader.read(a_jpeg())
