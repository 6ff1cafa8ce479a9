"""Objects in a dictionary, and their names."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime

from fitness.adapters.memory.store import InMemoryStore
from fitness.domain.model.objects import new_name
from fitness.ports.clock import ClockPort
from fitness.ports.objects import ObjectMissing, StoredObject

CHUNK_BYTES = 64 * 1024


class InMemoryObjectStore:
    def __init__(self, clock: ClockPort) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[bytes, datetime]] = {}

    async def put(self, content: bytes) -> str:
        name = new_name(content)
        self._kept[name] = bytes(content), self._clock.now()
        return name

    async def get(self, name: str) -> bytes:
        return self._content(name)

    async def chunks(self, name: str, *, first: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        content = self._content(name)
        end = len(content) if length is None else min(first + length, len(content))
        for start in range(first, end, CHUNK_BYTES):
            yield content[start : min(start + CHUNK_BYTES, end)]

    async def delete(self, name: str) -> None:
        self._kept.pop(name, None)

    async def list(self) -> AsyncIterator[Sequence[StoredObject]]:
        yield [StoredObject(name, len(content), stored_at) for name, (content, stored_at) in self._kept.items()]

    def _content(self, name: str) -> bytes:
        if name not in self._kept:
            raise ObjectMissing(name)
        return self._kept[name][0]


class InMemoryObjectNames:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def named(self, names: Sequence[str]) -> frozenset[str]:
        originals = {one.object_name for one in self._store.originals.values()}
        photos = {name for photo in self._store.photos.values() for name in photo.object_names}
        parts = {name for kept in self._store.exports.values() for name in kept.parts.values()}
        return frozenset(names) & (originals | photos | parts)

    async def released(self, *, limit: int = 100, but: Collection[str] = ()) -> Sequence[str]:
        return [name for name in self._store.released if name not in but][:limit]

    async def forget(self, names: Sequence[str]) -> None:
        self._store.released[:] = [name for name in self._store.released if name not in names]
