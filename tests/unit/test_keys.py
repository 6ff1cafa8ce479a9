"""The keys in the data folder, and their rotation from the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from fitness.adapters.embedded.secrets import kept_secrets, rotate_secrets
from fitness.entrypoints.cli import main

FIRST, SECOND = "5c1d0b7e9a3f4826" * 2, "7e9a3f48265c1d0b" * 2


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path):
    (key,) = kept_secrets(tmp_path)
    assert len(key) == 64
    assert kept_secrets(tmp_path) == (key,)
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_a_rotation_keeps_the_key_before_and_none_older(tmp_path: Path):
    (first,) = kept_secrets(tmp_path)
    rotate_secrets(tmp_path)
    second, before = kept_secrets(tmp_path)
    assert before == first
    rotate_secrets(tmp_path)
    third, before = kept_secrets(tmp_path)
    assert before == second
    assert len({first, second, third}) == 3


def test_the_key_of_a_version_before_is_read(tmp_path: Path):
    (tmp_path / "secret_key").write_text(FIRST)
    assert kept_secrets(tmp_path) == (FIRST,)


def rotated(monkeypatch: pytest.MonkeyPatch, **settings: str) -> str:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    outcome = CliRunner().invoke(main, ["keys", "rotate"], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def test_the_command_changes_the_keys_of_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (first,) = kept_secrets(tmp_path)
    assert rotated(monkeypatch, FITNESS_DATA_DIR=str(tmp_path)) == ""
    assert kept_secrets(tmp_path)[1:] == (first,)


def test_the_command_prints_the_next_setting(monkeypatch: pytest.MonkeyPatch):
    line = rotated(
        monkeypatch,
        FITNESS_DATABASE_URL="postgresql://db/fitness",
        FITNESS_REDIS_URL="redis://cache",
        FITNESS_SECRET_KEYS=f"{FIRST},{SECOND}",
    )
    name, _, value = line.strip().partition("=")
    new, before = value.split(",")
    assert (name, before) == ("FITNESS_SECRET_KEYS", FIRST)
    assert len(new) == 64
