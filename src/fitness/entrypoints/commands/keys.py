"""`fitness keys`: the keys that sign tokens."""

import click

from fitness.entrypoints.commands.stores import settings_of_environment
from fitness.entrypoints.setting_values import MEMORY
from fitness.entrypoints.wiring.stores import new_secret_keys, rotate_kept_keys
from fitness.ports.setup import BadSetup


@click.group()
def keys() -> None:
    """Change the keys that sign tokens."""


@keys.command("rotate")
def rotate() -> None:
    """Make a new signing key; what the present one signed stays good until the next rotation.

    With the embedded engines the keys in the data folder are changed. Otherwise this prints the next value of
    FITNESS_SECRET_KEYS, to be set for every process. Restart the service then. Rotate again 30 days later at
    the earliest: whoever has not been here since is logged out by that.
    """
    settings = settings_of_environment()
    if settings.in_memory:
        raise BadSetup(f"FITNESS_DATABASE_URL is {MEMORY}; its keys end with the service")
    if settings.secret_keys:
        click.echo(f"FITNESS_SECRET_KEYS={','.join(new_secret_keys(settings.secret_keys))}")
    else:
        rotate_kept_keys(settings.data_dir)
        click.echo("a new key signs once the service is restarted", err=True)
