"""`fitness stats`: the kept totals."""

import click

from fitness.entrypoints.commands.stores import on_stores
from fitness.entrypoints.wiring.container import Container

TOLD_EACH = 1_000


@click.group()
def stats() -> None:
    """Totals of activities, by month and week."""


@stats.command("rebuild")
def rebuild_stats() -> None:
    """Compute all totals anew. `fitness doctor` says whether that is needed; the service may run meanwhile."""

    async def run(container: Container) -> None:
        statistics, accounts = container.statistics(), 0
        latest = await statistics.rebuild()
        while latest is not None:
            accounts += 1
            if accounts % TOLD_EACH == 0:
                click.echo(f"{accounts} accounts", err=True)
            latest = await statistics.rebuild(after=latest)

    on_stores(run)
    click.echo("the totals are what the activities add up to")
