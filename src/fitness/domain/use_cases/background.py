"""What each background job does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fitness.domain.model.jobs import Job, Task
from fitness.domain.use_cases.exporting import ExportService
from fitness.domain.use_cases.originals import ObjectSweep
from fitness.domain.use_cases.upkeep import UpkeepService


@dataclass(frozen=True, slots=True)
class BackgroundService:
    upkeep: UpkeepService
    objects: ObjectSweep
    exports: ExportService

    async def run(self, job: Job) -> None:
        """Carry the job out. It may have been carried out before, in part or in full."""
        await self._tasks()[job.task](**job.arguments)

    def _tasks(self) -> Mapping[Task, Callable[..., Awaitable[object]]]:
        return {
            Task.EMPTY_TRASH: self.upkeep.empty_trash,
            Task.ERASE_ACCOUNTS: self.upkeep.erase_accounts,
            Task.EXPORT: self.exports.make,
            Task.FORGET_EXPIRED: self._forget_expired,
            Task.DELETE_OBJECTS: self.objects.delete_released,
            Task.SWEEP_OBJECTS: self.objects.sweep,
        }

    async def _forget_expired(self) -> None:
        await self.upkeep.forget_expired()
        await self.exports.forget_expired()
