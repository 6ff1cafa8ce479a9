"""`fitness keys`: the keys that sign tokens."""

import secrets

import click

from fitness.entrypoints.commands.stores import settings_of_environment
from fitness.entrypoints.setting_values import MEMORY
from fitness.entrypoints.wiring.stores import rotate_kept_keys
from fitness.ports.setup import BadSetup


@click.group()
def keys() -> None:
    """Change the keys that sign tokens.

    The first key signs, all keys verify. With the embedded engines, the instance keeps its keys in the data folder:
    `rotate` alone changes them, and the service is restarted once.

    With FITNESS_SECRET_KEYS each command prints the setting's next value, to be set for every process: `add`, then
    `rotate`, then `drop`. Restart all processes after each. A process that does not know a key yet would log out
    users whose token was signed by it; so a new key signs only after every process has been restarted with it.
    """


@keys.command("add")
def add() -> None:
    """Print the keys and, after them, a new one, which verifies and does not sign yet.

    Restart every process with it. `fitness keys rotate` is next.
    """
    _print((*_set_keys(), secrets.token_hex(32)))


@keys.command("rotate")
def rotate() -> None:
    """Let another key sign. Tokens that the present key signed stay valid.

    With the embedded engines, a new key is made in the data folder, and the key before the present one is dropped. Do
    this at the earliest 30 days after the last rotation: users who have not been here since are logged out. Restart
    the service then. Otherwise this prints the keys with the last one first, which `fitness keys add` has put there.
    """
    settings = settings_of_environment()
    if settings.in_memory or settings.secret_keys:
        given = _set_keys()
        if len(given) == 1:
            raise BadSetup("there is one key: run `fitness keys add`, and restart every process with what it prints")
        _print((given[-1], *given[:-1]))
    else:
        rotate_kept_keys(settings.data_dir)
        click.echo("a new key signs once the service is restarted", err=True)


@keys.command("drop")
def drop() -> None:
    """Print the keys without the last one.

    Do this at the earliest 30 days after `fitness keys rotate`: users who have not been here since are logged out.
    """
    given = _set_keys()
    if len(given) == 1:
        raise BadSetup("there is one key, which signs")
    _print(given[:-1])


def _set_keys() -> tuple[str, ...]:
    """The keys of FITNESS_SECRET_KEYS. Raises BadSetup if the keys are kept elsewhere."""
    settings = settings_of_environment()
    if settings.in_memory:
        raise BadSetup(f"FITNESS_DATABASE_URL is {MEMORY}; its keys end with the service")
    if not settings.secret_keys:
        raise BadSetup(f"the keys are in {settings.data_dir}, for one instance: `fitness keys rotate` changes them")
    return settings.secret_keys


def _print(given: tuple[str, ...]) -> None:
    click.echo(f"FITNESS_SECRET_KEYS={','.join(given)}")
