"""`fitness stats`: the kept totals."""

import click

from fitness.entrypoints.commands.stores import on_stores
from fitness.entrypoints.wiring.container import Container


@click.group()
def stats() -> None:
    """Totals of activities, by month and week."""


@stats.command("rebuild")
def rebuild_stats() -> None:
    """Compute all totals anew. `fitness doctor` says whether that is needed; the service may run meanwhile."""

    async def run(container: Container) -> None:
        after: int | None = 0
        while after is not None:
            after = await container.statistics().rebuild(after=after)

    on_stores(run)
    click.echo("the totals are what the activities add up to")
