"""The room in memory that uploads take."""

import pytest

from fitness.entrypoints.http.uploads import OWN_BYTES, SMALL_BYTES, Room, UploadSpace
from fitness.ports.outages import Overloaded

ANN, BOB, CYD = 1, 2, 3


def full() -> Room:
    return Room(0, 0)


def test_a_user_who_has_little_under_way_finds_room_where_all_else_is_taken():
    space = UploadSpace(own=Room(3 * OWN_BYTES, OWN_BYTES), small=full(), large=full())
    with space.upload(ANN) as upload, space.upload(BOB) as other:
        upload.take(OWN_BYTES)
        other.take(OWN_BYTES)


def test_what_is_a_users_own_is_for_all_their_uploads_together():
    space = UploadSpace(own=Room(3 * OWN_BYTES, OWN_BYTES), small=full(), large=full())
    with space.upload(ANN) as upload, space.upload(ANN) as another:
        upload.take(OWN_BYTES)
        with pytest.raises(Overloaded):
            another.take(1)


def test_what_all_users_have_of_their_own_is_bounded():
    space = UploadSpace(own=Room(2 * OWN_BYTES, OWN_BYTES), small=full(), large=full())
    with space.upload(ANN) as upload, space.upload(BOB) as other, space.upload(CYD) as third:
        upload.take(OWN_BYTES)
        other.take(OWN_BYTES)
        with pytest.raises(Overloaded):
            third.take(1)


def test_who_finds_nothing_of_their_own_takes_of_the_room_for_all():
    space = UploadSpace(own=full(), small=Room(SMALL_BYTES, SMALL_BYTES), large=full())
    with space.upload(ANN) as upload:
        upload.take(SMALL_BYTES)
        with pytest.raises(Overloaded):
            upload.take(1)


def test_an_upload_takes_of_the_room_for_large_ones_only_what_exceeds_the_rest():
    most = OWN_BYTES + SMALL_BYTES
    space = UploadSpace(large=full())
    with space.upload(ANN) as upload:
        upload.take(most)
    with space.upload(ANN) as upload, pytest.raises(Overloaded):
        upload.take(most + 1)


def test_all_is_given_back_also_by_an_upload_that_was_refused():
    space = UploadSpace(own=Room(10, 10), small=Room(10, 10), large=Room(10, 10))
    for _ in range(2):
        with space.upload(ANN) as upload, pytest.raises(Overloaded):
            upload.take(21)
        with space.upload(ANN) as upload:
            upload.take(20)
