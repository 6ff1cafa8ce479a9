"""What the commands about recorded files print."""

from pathlib import Path
from secrets import token_hex

import psycopg
import pytest

from tests.files import A_TRACK
from tests.harness.api import PASSWORD
from tests.harness.service import Service
from tests.recorded import a_run, as_gpx


class Commands:
    """Of one pair of stores, with an account of ann@example.org."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self._recording = folder / "recording"
        self.data_dir = folder / "data"
        self._service = Service(
            self.data_dir,
            DATABASE_URL=database_url,
            REDIS_URL=redis_url,
            STATE_REDIS_URL=redis_url,
            SECRET_KEYS=token_hex(32),
        )
        self.run("users", "create", "ann@example.org", "--password", PASSWORD)

    def run(self, *arguments: str | Path) -> list[str]:
        """The lines that it prints."""
        done = self._service.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def imported(self, content: bytes) -> str:
        """Of one file, what is printed behind its name."""
        self._recording.write_bytes(content)
        line, _ = self.run("import", self._recording, "--user", "ann@example.org")
        return line.removeprefix(f"{self._recording}: ")


@pytest.fixture
def commands(folder: Path, database_url: str, redis_url: str) -> Commands:
    return Commands(folder, database_url, redis_url)


def test_an_import_says_what_was_left_out(commands: Commands):
    points = a_run()
    points[0].latitude = points[0].longitude = 0.0
    assert commands.imported(as_gpx(points)[:-20]) == (
        "imported, activity 1 (run, 10 min); "
        "track 1: left out 1 place off the globe or at 0° N, 0° E; "
        "the file: it ends too early; this is made of what is there"
    )


def test_reading_again_shows_each_field_that_differs_and_each_file_that_is_left(commands: Commands, owner_url: str):
    commands.imported(A_TRACK)
    commands.imported(as_gpx(a_run()))
    with psycopg.connect(owner_url) as connection:
        # As a version with other rules would have read the one file; and of the other nothing is left.
        connection.execute("UPDATE activities SET title = E'Loop\x1b[2J', elevation_gain_m = 7 WHERE id = 1")
        connection.execute(
            """
            UPDATE readings
            SET details = details || '{"title": "Loop\\u001b[2J", "elevation_gain_m": 7}'
            WHERE activity_id = 1
            """
        )
        connection.execute("UPDATE activities SET notes = 'mine'")
        (name,) = connection.execute("SELECT object_name FROM originals WHERE id = 2").fetchone() or ("",)
    (commands.data_dir / "objects" / name).unlink()
    for options, change in ((["--dry-run"], "would change"), ([], "changed")):
        assert commands.run("reimport", *options) == [
            r"activity 1: title Loop\x1b[2J → Morning loop, elevation_gain_m 7.0 → 10.0",
            "file 2 of user 1: the file is not in the store",
            f"2 files read, 1 activities {change}, 1 edited fields kept, 1 files left as they are",
        ]
