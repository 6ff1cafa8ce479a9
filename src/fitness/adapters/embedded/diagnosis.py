"""Whether others on this machine can read what the embedded engines log."""

import stat
from collections.abc import Sequence
from pathlib import Path

from fitness.adapters.embedded.engines import log_folder
from fitness.ports.health import Finding, Verdict

OTHERS = stat.S_IRWXG | stat.S_IRWXO


class LogDiagnosis:
    def __init__(self, data_dir: Path) -> None:
        self._folder = log_folder(data_dir)

    async def diagnose(self) -> Sequence[Finding]:
        logs = [self._folder, *self._folder.glob("*.log")]
        if opened := [path for path in logs if path.exists() and path.stat().st_mode & OTHERS]:
            names = " ".join(map(str, opened))
            return [Finding(Verdict.WRONG, f"others on this machine can read the logs: chmod go-rwx {names}")]
        return [Finding(Verdict.GOOD, f"nobody else can read the logs in {self._folder}")]
