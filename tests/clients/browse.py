"""The API as browsers meet it, in Debian's Chromium: python -m tests.clients.browse [FOLDER]

On /docs every operation is executed as it is offered; then pages of two other sites call the service, of which one may.
Screenshots are put into the FOLDER. `make browser` installs what drives the browser.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ops.local.network import free_port
from ops.local.service import FITNESS

from tests.clients.check import HERE
from tests.files import A_TRACK
from tests.harness.service import Service

BROWSER = HERE / "browser"
DEADLINE_S = 600


def main(screenshots: Path | None) -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("needs Debian's package chromium")
    with tempfile.TemporaryDirectory(prefix="fitness-browser-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the engines run as another user
        allowed, foreign = free_port(), free_port()
        service = Service(folder / "data", CORS_ORIGINS=f"http://127.0.0.1:{allowed}")
        service.start()
        try:
            given = {
                "url": service.url,
                "chromium": chromium,
                "screenshots": str(screenshots or folder),
                "allowedPort": allowed,
                "foreignPort": foreign,
                "promote": [str(FITNESS), "users", "promote", "ann@example.org"],
                "track": A_TRACK.decode(),
            }
            return subprocess.run(
                ["node", BROWSER / "round.mjs", json.dumps(given)],
                env=service.environment,
                timeout=DEADLINE_S,
                check=False,
            ).returncode
        finally:
            service.stop()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else None))
