"""The chain of the audit log: every way to tamper with it is found, and named by its place."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fitness.domain.model.audit_chain import BEFORE_THE_FIRST, ChainHead, Link, broken_at

Tampering = Callable[[list[Link]], list[Link]]


def chain(count: int) -> list[Link]:
    links: list[Link] = []
    for position in range(1, count + 1):
        link = Link(
            position=position,
            id=position * 10,
            at_us=1_790_000_000_123_456,
            actor_id=None if position % 2 else 7,
            action="activity_purged",
            subject_id=position,
            owner_id=2,
            reason='spam, "twice"\n',
            hash="",
        )
        links.append(replace(link, hash=link.expected_hash(links[-1].hash if links else BEFORE_THE_FIRST)))
    return links


def head_of(links: list[Link]) -> ChainHead:
    return ChainHead(links[-1].position, links[-1].hash) if links else ChainHead()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_chain_as_it_was_written_is_whole(count: int):
    links = chain(count)
    assert broken_at(links, head_of(links)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", 31), ("at_us", 0), ("actor_id", 8), ("action", "x"), ("subject_id", 4), ("owner_id", 3), ("reason", None)],
)
def test_a_changed_field_is_found(field: str, value: object):
    links = chain(5)
    links[2] = replace(links[2], **{field: value})  # type: ignore[arg-type]
    found = broken_at(links, head_of(links))
    assert found is not None
    assert found.startswith(f"entry {links[2].id} at position 3 was changed")


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda links: links[:2] + links[3:], "the entry at position 3 is missing"),
        (lambda links: links[1:], "the entry at position 1 is missing"),
        (lambda links: links[:-1], "the last entry is at position 4, and the head says 5:"),
        (lambda links: [], "the last entry is at position 0, and the head says 5:"),
        (lambda links: [*links, replace(links[-1], position=6)], "entry 50 at position 6 was changed"),
        (lambda links: [links[0], replace(links[2], position=2), *links[2:]], "entry 30 at position 2 was changed"),
    ],
)
def test_a_missing_or_foreign_entry_is_found(tamper: Tampering, said: str):
    links = chain(5)
    found = broken_at(tamper(links), head_of(links))
    assert found is not None
    assert found.startswith(said)


def test_a_chain_written_anew_is_found_by_a_head_that_was_noted_before():
    noted = head_of(chain(3))
    links = chain(5)
    assert broken_at(links, head_of(links), noted) is None
    anew = [replace(link, owner_id=9) for link in links]
    before = BEFORE_THE_FIRST
    for index, link in enumerate(anew):
        anew[index] = replace(link, hash=link.expected_hash(before))
        before = anew[index].hash
    assert broken_at(anew, head_of(anew)) is None
    assert "position 3 is not the one that was noted" in (broken_at(anew, head_of(anew), noted) or "")
    assert "entries at the end are missing" in (broken_at(anew[:2], head_of(anew[:2]), noted) or "")


def test_a_head_can_be_noted_as_text():
    head = head_of(chain(3))
    assert ChainHead.parse(str(head)) == head


@pytest.mark.parametrize("text", ["", "3", "3:ab", "x:" + "00" * 32, "3:" + "zz" * 32])
def test_what_is_no_head_is_refused(text: str):
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever words
        ChainHead.parse(text)
