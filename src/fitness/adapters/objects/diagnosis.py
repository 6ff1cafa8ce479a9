"""Whether files can be stored and read."""

import secrets
from collections.abc import Sequence

from fitness.adapters.objects.store import ObstoreObjects
from fitness.ports.health import Finding, Verdict
from fitness.ports.objects import ObjectMissing
from fitness.ports.outages import ObjectsUnavailable

PROBE_BYTES = 32


class ObjectsDiagnosis:
    """Stores an object, reads it and deletes it."""

    def __init__(self, objects: ObstoreObjects) -> None:
        self._objects = objects

    async def diagnose(self) -> Sequence[Finding]:
        content = secrets.token_bytes(PROBE_BYTES)
        try:
            name = await self._objects.put(content)
            same = await self._objects.get(name) == content
            await self._objects.delete(name)
        except (ObjectsUnavailable, ObjectMissing) as error:
            cause = str(error.__cause__ or error).partition("\n")[0]
            return [Finding(Verdict.WRONG, f"no file can be imported: {error} ({cause}); see FITNESS_OBJECTS_URL")]
        if not same:
            return [Finding(Verdict.WRONG, "a file that was stored is read back with another content")]
        return [Finding(Verdict.GOOD, "files are stored, read and deleted")]
