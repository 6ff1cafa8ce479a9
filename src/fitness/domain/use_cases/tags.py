"""What people do with their tags: list, rename, merge and delete them."""

from dataclasses import dataclass
from functools import partial

from fitness.domain.model.refusals import TagNotFound
from fitness.domain.model.tags import Tags, new_tag, sought_tag
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.caching.invalidation import Changes
from fitness.domain.use_cases.caching.keys import activity_scope, tags_key, user_scope
from fitness.domain.use_cases.caching.reads import CachedReads, Copy
from fitness.ports.clock import ClockPort
from fitness.ports.outbox import OutboxPort
from fitness.ports.tags import TagRepoPort

CHANGED_AT_ONCE = 500
"""The most activities that one statement changes, so that no other request waits long for it."""


@dataclass(frozen=True, slots=True)
class TagService:
    repo: TagRepoPort
    outbox: OutboxPort
    cached: CachedReads
    changes: Changes
    clock: ClockPort

    async def list(self, *, by: Caller) -> Copy[Tags]:
        """The caller's tags, the most used first."""

        async def load() -> Tags:
            return Tags(tuple(await self.repo.list(by.id)))

        return await self.cached.read_through(tags_key(by.id), load)

    async def rename(self, name: str, new_name: str, *, by: Caller) -> str:
        """Returns the new name as it is kept. If the caller has that tag already, both tags are one from then on.

        Raises InvalidFields, TagNotFound.
        """
        tag, instead = sought_tag(name), new_tag(new_name)
        if tag != instead:
            await self._replace(tag, instead, by)
        elif not await self.repo.tagged(by.id, tag, most=1):
            raise TagNotFound(tag)
        return instead

    async def delete(self, name: str, *, by: Caller) -> None:
        """Take the tag off all activities. Raises InvalidFields, TagNotFound."""
        await self._replace(sought_tag(name), None, by)

    async def _replace(self, tag: str, instead: str | None, by: Caller) -> None:
        """Activities in the trash are changed, too, so that a restored activity does not bring the old tag back.

        A round is one statement. If a round fails, the earlier rounds stay; if the request is repeated, the rest is
        done.
        """
        changed = 0
        async with self.changes.in_steps() as steps:
            # This ends: after a round none of its activities has the tag.
            while ids := await self.repo.tagged(by.id, tag, most=CHANGED_AT_ONCE):
                stale = user_scope(by.id), *map(activity_scope, ids)
                write = partial(self.repo.replace, by.id, tag, instead=instead, ids=ids, at=self.clock.now())
                changed += await steps.make(stale, write)
            # An earlier attempt may have ended with its process: what it made stale is not among the scopes above.
            steps.take_over(await self.outbox.pending_of(user_scope(by.id)))
        if not changed:
            raise TagNotFound(tag)
