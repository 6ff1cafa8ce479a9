"""Settings: what is set counts, what is wrong is named, and the README lists each."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from fitness.entrypoints.settings import BadSettings, Settings
from fitness.entrypoints.wiring.stores import settings_from as read_settings

SECRET = "5c1d0b7e9a3f4826" * 2
STORES = {
    "FITNESS_DATABASE_URL": "postgresql://db/fitness",
    "FITNESS_REDIS_URL": "redis://cache",
    "FITNESS_SECRET_KEYS": SECRET,
}


def test_nothing_has_to_be_set():
    settings = read_settings({"PATH": "/bin", "HOME": "/home/ann"})
    assert settings.embedded
    assert (settings.host, settings.port, settings.workers, settings.trash_days) == ("127.0.0.1", 8000, 1, 30)


def test_what_is_set_counts():
    settings = read_settings(
        STORES
        | {
            "FITNESS_HOST": "0.0.0.0",
            "FITNESS_PORT": "80",
            "FITNESS_WORKERS": "4",
            "FITNESS_DATA_DIR": "/srv/fitness",
            "FITNESS_STATE_REDIS_URL": "rediss://state",
            "FITNESS_SECRET_KEYS": f"{SECRET}, {SECRET[::-1]}n",
            "FITNESS_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::/32",
            "FITNESS_METRICS_ALLOW": "192.0.2.1",
            "FITNESS_CORS_ORIGINS": "https://app.example.org/, HTTP://localhost:3000",
            "FITNESS_RATE_LIMIT_SCALE": "0",
            "FITNESS_TRASH_DAYS": "7",
            "FITNESS_METRICS_DIR": "/run/fitness",
            "FITNESS_LOG_FORMAT": "json",
            "FITNESS_OBJECTS_URL": "s3://bucket/fitness",
        }
    )
    assert not settings.embedded
    assert (settings.host, settings.port, settings.workers) == ("0.0.0.0", 80, 4)
    assert settings.data_dir == Path("/srv/fitness")
    assert settings.metrics_dir == Path("/run/fitness")
    assert settings.state_redis_url == "rediss://state"
    assert len(settings.secret_keys) == 2
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "2001:db8::/32"]
    assert [str(network) for network in settings.metrics_allow] == ["192.0.2.1/32"]
    assert settings.cors_origins == ("https://app.example.org", "http://localhost:3000")
    assert settings.objects_url == "s3://bucket/fitness"
    assert (settings.rate_limit_scale, settings.trash_days, settings.log_format) == (0, 7, "json")


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache:6379/3",
        "rediss://user:p%40ss@cache",
        "redis://[::1]:6379",
        "unix:///run/valkey.sock",
        "redis+sentinel://one:26379,two:26379/primary/2",
        "redis+cluster://user:pass@one:7000,two:7001",
    ],
)
def test_every_kind_of_redis_is_taken(url: str):
    settings = read_settings(STORES | {"FITNESS_REDIS_URL": url})
    assert settings.redis_url == url
    assert settings.state_redis_url == url  # where none is set


MEMORY = {"FITNESS_DATABASE_URL": "memory:", "FITNESS_REDIS_URL": "memory:"}


def test_memory_takes_the_place_of_both_urls_and_needs_no_keys():
    settings = read_settings(MEMORY)
    assert settings.in_memory
    assert not settings.embedded
    assert settings.secret_keys == ()


def test_localhost_is_an_address_too():
    assert read_settings({"FITNESS_HOST": "localhost"}).host == "127.0.0.1"


def test_blank_counts_as_unset():
    assert read_settings({"FITNESS_PORT": "", "FITNESS_DATABASE_URL": " "}).embedded


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"FITNESS_PORT": "80a"}, "FITNESS_PORT"),
        ({"FITNESS_PORT": "８０"}, "FITNESS_PORT"),
        ({"FITNESS_PORT": "65536"}, "FITNESS_PORT"),
        ({"FITNESS_WORKERS": "0"}, "FITNESS_WORKERS"),
        ({"FITNESS_RATE_LIMIT_SCALE": "-1"}, "FITNESS_RATE_LIMIT_SCALE"),
        ({"FITNESS_RATE_LIMIT_SCALE": "inf"}, "FITNESS_RATE_LIMIT_SCALE"),
        ({"FITNESS_SECRET_KEYS": f"{SECRET},short"}, "FITNESS_SECRET_KEYS"),
        ({"FITNESS_SECRET_KEYS": f"{SECRET},{SECRET}"}, "FITNESS_SECRET_KEYS"),
        ({"FITNESS_SECRET_KEYS": "k" * 64}, "FITNESS_SECRET_KEYS"),
        ({"FITNESS_SECRET_KEYS": f"change-me-{SECRET}"}, "FITNESS_SECRET_KEYS"),
        ({"FITNESS_SECRET_KEYS": "a-very-secret-key-for-production-use"}, "FITNESS_SECRET_KEYS"),
        ({"FITNESS_METRICS_ALLOW": "10.0.0.1/8"}, "FITNESS_METRICS_ALLOW"),
        ({"FITNESS_REDIS_URL": "memcached://x"}, "FITNESS_REDIS_URL"),
        ({"FITNESS_DATABASE_URL": "postgresql://db/fitness", "FITNESS_SECRET_KEYS": SECRET}, "FITNESS_REDIS_URL"),
        ({"FITNESS_REDIS_URL": "redis://cache"}, "FITNESS_DATABASE_URL"),
        (STORES | {"FITNESS_SECRET_KEYS": ""}, "FITNESS_SECRET_KEYS"),
        ({"FITNESS_TRASH_DAY": "7"}, "FITNESS_TRASH_DAYS"),
        ({"FITNESS_HOST": "nonsense.invalid"}, "FITNESS_HOST"),
        (STORES | {"FITNESS_DATABASE_URL": "postgresql://db:abc/fitness"}, "FITNESS_DATABASE_URL"),
        (STORES | {"FITNESS_DATABASE_URL": "postgresql://db/fitness?nonsense=1"}, "FITNESS_DATABASE_URL"),
        (STORES | {"FITNESS_REDIS_URL": "redis://localhost:abc"}, "FITNESS_REDIS_URL"),
        (STORES | {"FITNESS_REDIS_URL": "redis://localhost/notadb"}, "FITNESS_REDIS_URL"),
        (STORES | {"FITNESS_REDIS_URL": "redis+cluster://one,two:7001"}, "FITNESS_REDIS_URL"),
        (STORES | {"FITNESS_REDIS_URL": "redis+sentinel://one:26379"}, "FITNESS_REDIS_URL"),
        (STORES | {"FITNESS_STATE_REDIS_URL": "redis://localhost:99999"}, "FITNESS_STATE_REDIS_URL"),
        (STORES | {"FITNESS_STATE_REDIS_URL": "memory:"}, "FITNESS_STATE_REDIS_URL"),
        (STORES | {"FITNESS_REDIS_URL": "memory:"}, "FITNESS_DATABASE_URL must be memory:"),
        (STORES | {"FITNESS_DATABASE_URL": "memory:"}, "FITNESS_REDIS_URL must be memory:"),
        ({"FITNESS_DATABASE_URL": "memory:"}, "FITNESS_REDIS_URL"),
        (MEMORY | {"FITNESS_WORKERS": "2"}, "FITNESS_WORKERS"),
        (STORES | {"FITNESS_MIGRATE_DATABASE_URL": "redis://db"}, "FITNESS_MIGRATE_DATABASE_URL"),
        (MEMORY | {"FITNESS_MIGRATE_DATABASE_URL": "postgresql://db/fitness"}, "FITNESS_MIGRATE_DATABASE_URL"),
        ({"FITNESS_MIGRATE_DATABASE_URL": "postgresql://db/fitness"}, "FITNESS_MIGRATE_DATABASE_URL"),
        (MEMORY | {"FITNESS_STATE_REDIS_URL": "redis://state"}, "FITNESS_STATE_REDIS_URL"),
        (MEMORY | {"FITNESS_OBJECTS_URL": "file:///srv"}, "FITNESS_OBJECTS_URL"),
        ({"FITNESS_OBJECTS_URL": "/srv"}, "FITNESS_OBJECTS_URL"),
        ({"FITNESS_OBJECTS_URL": "file://srv/objects"}, "FITNESS_OBJECTS_URL"),
        ({"FITNESS_OBJECTS_URL": "s3:bucket"}, "FITNESS_OBJECTS_URL"),
        ({"FITNESS_OBJECTS_URL": "https://bucket"}, "FITNESS_OBJECTS_URL"),
    ],
)
def test_a_bad_one_is_named(environment: dict[str, str], named: str):
    with pytest.raises(BadSettings, match=named):
        read_settings(environment)


def test_all_bad_ones_are_named_at_once_and_no_secret_is_repeated():
    with pytest.raises(BadSettings) as refusal:
        read_settings(
            {
                "FITNESS_PORT": "x",
                "FITNESS_SECRET_KEYS": "hunter2",
                "FITNESS_DATABASE_URL": "mysql://root:hunter3@db",
                "FITNESS_COLOUR": "red",
            }
        )
    text = str(refusal.value)
    assert len(text.splitlines()) >= 4
    assert "hunter" not in text


def test_the_readme_lists_every_setting():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    listed = set(re.findall(r"^\| `FITNESS_([A-Z_]+)`", readme, re.MULTILINE))
    assert listed == {field.name.upper() for field in fields(Settings)}


@pytest.mark.parametrize(
    "origins", ["app.example.org", "https://app.example.org/page", "https://", "ftp://a", "*.a", "a,"]
)
def test_what_is_no_origin_is_refused(origins: str):
    with pytest.raises(BadSettings, match="FITNESS_CORS_ORIGINS must be origins such as"):
        read_settings({"FITNESS_CORS_ORIGINS": origins})
