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


def told(monkeypatch: pytest.MonkeyPatch, command: str, **settings: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `fitness keys`."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    outcome = CliRunner().invoke(main, ["keys", command], catch_exceptions=False)
    return outcome.exit_code, outcome.stdout, outcome.stderr


def next_keys(monkeypatch: pytest.MonkeyPatch, command: str, *keys: str) -> list[str]:
    """That it prints where these are set."""
    stores = {"FITNESS_DATABASE_URL": "postgresql://db/fitness", "FITNESS_REDIS_URL": "redis://cache"}
    code, line, errors = told(monkeypatch, command, FITNESS_SECRET_KEYS=",".join(keys), **stores)
    assert code == 0, errors
    name, _, value = line.strip().partition("=")
    assert name == "FITNESS_SECRET_KEYS"
    return value.split(",")


def test_the_command_changes_the_keys_of_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (first,) = kept_secrets(tmp_path)
    assert told(monkeypatch, "rotate", FITNESS_DATA_DIR=str(tmp_path))[:2] == (0, "")
    assert kept_secrets(tmp_path)[1:] == (first,)


@pytest.mark.parametrize("command", ["add", "drop"])
def test_the_keys_of_the_data_folder_have_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str):
    before = kept_secrets(tmp_path)
    code, line, errors = told(monkeypatch, command, FITNESS_DATA_DIR=str(tmp_path))
    assert (code != 0, line) == (True, "")
    assert "`fitness keys rotate`" in errors
    assert kept_secrets(tmp_path) == before


def test_a_new_key_of_the_setting_verifies_first_then_signs_and_then_is_alone(monkeypatch: pytest.MonkeyPatch):
    """The first one signs. No step has a first key that the one before did not have."""
    first, new = next_keys(monkeypatch, "add", FIRST)
    assert first == FIRST
    assert len(new) == 64
    assert next_keys(monkeypatch, "rotate", FIRST, new) == [new, FIRST]
    assert next_keys(monkeypatch, "drop", new, FIRST) == [new]


def test_with_an_older_key_still_there_the_new_one_comes_in_front_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch):
    *before, new = next_keys(monkeypatch, "add", SECOND, FIRST)
    assert before == [SECOND, FIRST]
    assert next_keys(monkeypatch, "rotate", SECOND, FIRST, new) == [new, SECOND, FIRST]
    assert next_keys(monkeypatch, "drop", new, SECOND, FIRST) == [new, SECOND]


@pytest.mark.parametrize(("command", "said"), [("rotate", "run `fitness keys add`"), ("drop", "which signs")])
def test_the_only_key_is_neither_dropped_nor_rotated(monkeypatch: pytest.MonkeyPatch, command: str, said: str):
    stores = {"FITNESS_DATABASE_URL": "postgresql://db/fitness", "FITNESS_REDIS_URL": "redis://cache"}
    code, line, errors = told(monkeypatch, command, FITNESS_SECRET_KEYS=FIRST, **stores)
    assert (code != 0, line) == (True, "")
    assert said in errors
