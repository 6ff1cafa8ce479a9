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

    The first one signs, all of them verify. With the embedded engines one instance has its keys in the data folder:
    `rotate` alone changes them, and the service is restarted once.

    With FITNESS_SECRET_KEYS each command prints the setting's next value, to be set for every process: `add`, then
    `rotate`, then `drop`. Restart all processes after each. A process that does not know a key yet would log out
    whoever comes with a token of that key; so a new key signs only after every process has been restarted with it.
    """


@keys.command("add")
def add() -> None:
    """Print the keys with a new one behind them, which verifies and does not sign yet.

    Restart every process with it. `fitness keys rotate` is next.
    """
    _print((*_set_keys(), secrets.token_hex(32)))


@keys.command("rotate")
def rotate() -> None:
    """Let another key sign: what the present one signed stays good.

    With the embedded engines a new key is made in the data folder, and the one before the present one is dropped; so
    at the earliest 30 days after the last rotation: whoever has not been here since is logged out by that. Restart the
    service then. Otherwise this prints the keys with the last one first, which `fitness keys add` has put there.
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

    30 days after `fitness keys rotate` at the earliest: whoever has not been here since is logged out by that.
    """
    given = _set_keys()
    if len(given) == 1:
        raise BadSetup("there is one key, which signs")
    _print(given[:-1])


def _set_keys() -> tuple[str, ...]:
    """Of FITNESS_SECRET_KEYS. Raises BadSetup where the keys are elsewhere."""
    settings = settings_of_environment()
    if settings.in_memory:
        raise BadSetup(f"FITNESS_DATABASE_URL is {MEMORY}; its keys end with the service")
    if not settings.secret_keys:
        raise BadSetup(f"the keys are in {settings.data_dir}, for one instance: `fitness keys rotate` changes them")
    return settings.secret_keys


def _print(given: tuple[str, ...]) -> None:
    click.echo(f"FITNESS_SECRET_KEYS={','.join(given)}")
