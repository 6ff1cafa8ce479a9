"""Child processes that end with this one, and that need not be root when it is."""

import os
import pwd
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

from fitness.foundation.parent_death import die_with_parent


def private_log(path: Path) -> BinaryIO:
    """The file, opened to append; nobody else may read it, even if an earlier version left it open to others."""
    opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.fchmod(opened, 0o600)
    return open(opened, "ab")


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user that a process runs as."""

    uid: int
    gid: int

    @classmethod
    def for_engines(cls) -> "Account":
        """This process's own, or, since PostgreSQL refuses to run as root, `nobody`."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def start(
        self,
        command: Sequence[str | Path],
        *,
        output: IO[bytes],
        death_signal: int = signal.SIGKILL,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Run `command` from / in a session of its own, so that a terminal's Ctrl-C reaches this process alone."""
        root = os.geteuid() == 0
        return subprocess.Popen(  # noqa: S603 - the commands are our own
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", **(environment or {})},
            start_new_session=True,
            user=self.uid if root else None,
            group=self.gid if root else None,
            extra_groups=[] if root else None,
            # Runs after the change of user, which would clear the death signal.
            preexec_fn=partial(die_with_parent, os.getpid(), death_signal),
        )

    def succeeds(self, command: Sequence[str | Path]) -> bool:
        """Whether `command` can be run and exits with 0."""
        try:
            with open(os.devnull, "wb") as nowhere:
                return self.start(command, output=nowhere).wait() == 0
        except OSError:
            return False

    def own(self, folder: Path) -> Path:
        """Make `folder`, for this account alone."""
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        if folder.stat().st_uid != self.uid:
            os.chown(folder, self.uid, self.gid)
        return folder
