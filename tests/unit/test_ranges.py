"""Which part of a file a Range asks for."""

import pytest

from fitness.entrypoints.http.kinds import RangeNotSatisfiable
from fitness.entrypoints.http.ranges import asked_part, content_range

TAG, SIZE = '"tag"', 100


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=-7", (93, 100)),
        ("bytes=10-999999999", (10, 100)),
        ("bytes=-999999999", (0, 100)),
        ("bytes=99-99", (99, 100)),
        ("Bytes= 3 - 3 ", (3, 4)),
    ],
)
def test_one_range_is_a_part(asked: str, part: tuple[int, int]):
    found = asked_part(asked, None, tag=TAG, size_bytes=SIZE)
    assert found == slice(*part)
    assert found is not None
    assert content_range(found, SIZE) == f"bytes {part[0]}-{part[1] - 1}/100"


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "",
        "bytes=0-1,3-4",
        "bytes=9-3",
        "bytes=-",
        "bytes=x-",
        "bytes=-0x1",
        "pages=1-2",
        f"bytes={'9' * 40}-",
    ],
)
def test_anything_else_is_the_whole(asked: str | None):
    assert asked_part(asked, None, tag=TAG, size_bytes=SIZE) is None


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(asked: str):
    with pytest.raises(RangeNotSatisfiable):
        asked_part(asked, None, tag=TAG, size_bytes=SIZE)


def test_a_part_of_another_version_is_of_no_use():
    assert asked_part("bytes=0-9", TAG, tag=TAG, size_bytes=SIZE) == slice(0, 10)
    for other in ('"other"', 'W/"tag"', "Thu, 01 Jan 1970 00:00:00 GMT"):
        assert asked_part("bytes=0-9", other, tag=TAG, size_bytes=SIZE) is None
