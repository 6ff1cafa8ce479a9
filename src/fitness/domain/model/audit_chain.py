"""The chain of the audit log: each entry's hash is over its own fields and the hash of the entry before it."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fitness.domain.model.audit import AuditEntry

BEFORE_THE_FIRST = "00" * 32
"""The first entry's replacement for the hash of the entry before it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What an entry's hash is made of, and the hash that was kept with it, in hexadecimal."""

    position: int
    """The entry's place in the chain: 1 for the first entry, without gaps."""
    id: int
    at_us: int
    """Microseconds since 1970."""
    actor_id: int | None
    action: str
    subject_id: int
    owner_id: int
    reason: str | None
    hash: str

    def expected_hash(self, before: str) -> str:
        """The hash that belongs here, after an entry with the hash `before`.

        SHA-256 of that hash's 32 bytes and of the fields as a JSON list, in UTF-8, with a space after each comma.
        `016_chain_audit_log` computes the same.
        """
        fields = [
            self.position,
            self.id,
            self.at_us,
            self.actor_id,
            self.action,
            self.subject_id,
            self.owner_id,
            self.reason,
        ]
        text = json.dumps(fields, ensure_ascii=False)
        return hashlib.sha256(bytes.fromhex(before) + text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where the chain ends: the position and the hash of its last entry, kept apart from the entries."""

    position: int = 0
    hash: str = BEFORE_THE_FIRST

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> "ChainHead":
        """The head that `str` wrote as `text`. Raises ValueError."""
        if not (match := re.fullmatch(r"(\d{1,18}):([0-9a-fA-F]{64})", text, re.ASCII)):
            raise ValueError("must be a position and a hash, N:HASH, as `fitness doctor` prints them")
        return cls(int(match[1]), match[2].lower())


def link_of(entry: AuditEntry) -> Link:
    return Link(
        position=entry.position,
        id=entry.id,
        at_us=(entry.at - _EPOCH) // timedelta(microseconds=1),
        actor_id=entry.actor_id,
        action=entry.action,
        subject_id=entry.subject_id,
        owner_id=entry.owner_id,
        reason=entry.reason,
        hash=entry.hash,
    )


def broken_at(links: Iterable[Link], head: ChainHead, earlier: ChainHead | None = None) -> str | None:
    """Where the chain of `links`, in order, is broken first; None if the chain is whole and ends at `head`.

    `earlier` is a head that somebody noted before: the chain has to go through it.
    """
    end = ChainHead()
    for link in links:
        if link.position != end.position + 1:
            return f"the entry at position {end.position + 1} is missing: the next one is {_name(link)}"
        if link.hash != link.expected_hash(end.hash):
            return f"{_name(link)} was changed, or stands where another one stood: its hash does not fit"
        end = ChainHead(link.position, link.hash)
        if earlier is not None and earlier.position == end.position and earlier != end:
            return f"{_name(link)} is not the one that was noted as {earlier}: the log was written anew"
    if end != head:
        return f"the last entry is at position {end.position}, and the head says {head}: entries at the end are missing"
    if earlier is not None and earlier.position > end.position:
        return f"the last entry is at position {end.position}, and {earlier} was noted: entries at the end are missing"
    return None


def _name(link: Link) -> str:
    return f"entry {link.id} at position {link.position}"
