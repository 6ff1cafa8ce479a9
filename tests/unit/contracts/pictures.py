"""What every PictureReaderPort promises."""

from io import BytesIO

import pytest
from PIL import Image

from fitness.domain.model.file_refusals import PictureEmpty, PictureUnknown
from fitness.ports.pictures import PictureReaderPort
from tests.pictures import SECRET, a_jpeg
from tests.unit.contracts.turns import TurnContract


class PictureReaderContract(TurnContract):
    """An implementation's class gives the fixture `reader`, which reads at least `a_jpeg()`."""

    async def test_a_picture_is_read_in_both_sizes_and_nothing_but_what_is_seen_is_left(
        self, reader: PictureReaderPort
    ):
        for rendition in await reader.read(a_jpeg()):
            assert (rendition.content_type, rendition.width, rendition.height) == ("image/jpeg", 60, 40)
            assert SECRET not in rendition.content
            with Image.open(BytesIO(rendition.content)) as seen:
                assert (seen.format, seen.size) == ("JPEG", (60, 40))

    async def test_the_same_file_makes_the_same_bytes(self, reader: PictureReaderPort):
        assert await reader.read(a_jpeg()) == await reader.read(a_jpeg())

    async def test_an_empty_file_is_called_so(self, reader: PictureReaderPort):
        with pytest.raises(PictureEmpty):
            await reader.read(b"")

    async def test_a_file_of_no_known_kind_is_called_so(self, reader: PictureReaderPort):
        with pytest.raises(PictureUnknown):
            await reader.read(b"certainly no picture")
