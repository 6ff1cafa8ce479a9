"""Checks whether other users of this machine can read the data and the logs of the embedded engines."""

import stat
from collections.abc import Sequence
from pathlib import Path

from fitness.ports.health import Finding, Verdict

PRIVATE = ("log", "log/*.log", "run", "postgres", "valkey-*", "secret_key", "engines.json")
"""Private paths in the data folder. Others may enter the folder itself: as root, the engines run as another user."""

OTHERS = stat.S_IRWXG | stat.S_IRWXO


class FolderDiagnosis:
    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    async def diagnose(self) -> Sequence[Finding]:
        paths = [path for pattern in PRIVATE for path in sorted(self._data_dir.glob(pattern))]
        if opened := [str(path) for path in paths if path.stat().st_mode & OTHERS]:
            what = f"others on this machine can read logs or data: chmod go-rwx {' '.join(opened)}"
            return [Finding(Verdict.WRONG, what)]
        return [Finding(Verdict.GOOD, f"nobody else can read the logs and the data in {self._data_dir}")]
