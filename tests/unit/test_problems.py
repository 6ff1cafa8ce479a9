"""The error table: complete, consistent, and the same as the README's."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from fitness.domain.model.file_refusals import PictureRefused, RecordingRefused
from fitness.domain.model.refusals import ActivityInTrash, Refusal
from fitness.entrypoints.http.kinds import CRASH, KINDS
from fitness.entrypoints.http.problems import KINDS_OF_READS, KINDS_OF_SERVER, kind_of
from fitness.ports.outages import Outage

ALL_KINDS = [*KINDS.values(), *KINDS_OF_READS.values(), *KINDS_OF_SERVER.values()]


def _below(cls: type[Exception]) -> Iterator[type[Exception]]:
    for below in cls.__subclasses__():
        yield below
        yield from _below(below)


def test_every_refusal_and_outage_has_a_kind_of_its_own():
    families = {Refusal, Outage, RecordingRefused, PictureRefused}
    for error in {*_below(Refusal), *_below(Outage)} - families:
        for method in ("GET", "POST"):
            assert kind_of(error, method) is not CRASH, f"{error.__name__} would be answered as a crash"
        assert error in KINDS


def test_an_activity_in_the_trash_is_gone_for_a_read_and_in_the_way_of_a_change():
    codes = {method: kind_of(ActivityInTrash, method) for method in ("GET", "PATCH", "DELETE")}
    assert (codes["GET"].status, codes["GET"].code) == (410, "activity_deleted")
    for change in ("PATCH", "DELETE"):
        assert (codes[change].status, codes[change].code) == (409, "activity_in_trash")


def test_one_code_means_one_status_and_one_title():
    kinds = {kind.code: kind for kind in ALL_KINDS}
    assert all(kinds[kind.code] == kind for kind in ALL_KINDS)
    for kind in kinds.values():
        assert HTTPStatus(kind.status) >= 400
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)


def test_only_what_is_ours_to_mend_is_a_server_error():
    assert {kind.code for kind in ALL_KINDS if kind.status >= 500} == {
        "internal_error",
        "database_unavailable",
        "cache_unavailable",
        "limiter_unavailable",
        "overloaded",
        "sessions_unavailable",
        "tickets_unavailable",
        "reader_unavailable",
        "objects_unavailable",
    }


def test_the_readme_lists_every_code_with_its_status():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    listed = {
        (code, int(status)) for status, code in re.findall(r"^\| (\d{3}) \| `([a-z_]+)` \|", readme, re.MULTILINE)
    }
    assert listed == {(kind.code, kind.status) for kind in ALL_KINDS}
