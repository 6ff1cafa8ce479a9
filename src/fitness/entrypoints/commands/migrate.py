"""`fitness migrate`: the database's schema."""

import click

from fitness.entrypoints.commands.stores import settings_of_environment
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.stores import with_running_engines


@click.group()
def migrate() -> None:
    """Migrate the database's schema up or down."""


@migrate.command("up")
def migrate_up() -> None:
    """Apply all missing migrations."""
    with with_running_engines(settings_of_environment()) as settings:
        titles = Container(settings=settings).migrations().up()
    for title in titles:
        click.echo(f"applied {title}")
    if not titles:
        click.echo("nothing to apply")


@migrate.command("down")
@click.option("--steps", default=1, show_default=True, type=click.IntRange(min=1), help="How many to take back.")
@click.option("--drop-audit-log", is_flag=True, help="Lose the audit log: who deleted or changed what, when and why.")
def migrate_down(steps: int, drop_audit_log: bool) -> None:
    """Take back the latest migrations; data in what they added is lost.

    If one of them would lose what is in the trash or in the audit log, it is refused and nothing is changed.
    """
    with with_running_engines(settings_of_environment()) as settings:
        titles = Container(settings=settings).migrations().down(steps, drop_audit_log=drop_audit_log)
    for title in titles:
        click.echo(f"took back {title}")
    if not titles:
        click.echo("nothing to take back")


@migrate.command("status")
def migrate_status() -> None:
    """List the migrations, each with the time it was applied."""
    with with_running_engines(settings_of_environment()) as settings:
        statuses = Container(settings=settings).migrations().status()
    for status in statuses:
        click.echo(f"{status.title}  {status.applied_at or 'missing'}")
    if not statuses:
        click.echo("nothing to migrate")
