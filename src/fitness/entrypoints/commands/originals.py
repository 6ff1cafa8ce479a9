"""`fitness reimport | sweep`: the files that were imported."""

from collections import Counter

import click

from fitness.domain.model.text import escaped
from fitness.domain.use_cases.rereading import RereadFile
from fitness.entrypoints.commands.stores import on_stores
from fitness.entrypoints.wiring.container import Container


@click.command("reimport")
@click.option("--user", "email", metavar="EMAIL", help="Of this account alone.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would change.")
def reimport(email: str | None, dry_run: bool) -> None:
    """Read all imported files again with the rules of this version.

    Fields that were edited since are kept, and activities in the trash are left alone. The service may run meanwhile.
    """

    async def run(container: Container) -> Counter[str]:
        owner = None if email is None else (await container.administration().user(email)).id
        counts: Counter[str] = Counter()
        async for file in container.rereading().reread(owner=owner, dry_run=dry_run):
            counts["files"] += 1
            _show(file, counts)
        return counts

    counts = on_stores(run)
    change = "would change" if dry_run else "changed"
    click.echo(
        f"{counts['files']} files read, {counts['changed']} activities {change}, {counts['kept']} edited fields kept, "
        f"{counts['failed']} files left as they are"
    )


@click.command("sweep")
def sweep() -> None:
    """Delete stored files that belong to no activity. The service may run meanwhile.

    Imports that were broken off leave them, and activities that were deleted for good. Files younger than an hour are
    kept.
    """

    async def run(container: Container) -> int:
        return await container.sweep().sweep()

    click.echo(f"{on_stores(run)} files deleted")


def _show(file: RereadFile, counts: "Counter[str]") -> None:
    if file.failed is not None:
        counts["failed"] += 1
        click.echo(f"file {file.original.id} of user {file.original.user_id}: {file.failed}")
    for reading, result in file.changes:
        counts["kept"] += len(result.edited)
        if result.differing:
            counts["changed"] += 1
            fields = (
                escaped(f"{name} {getattr(reading.activity, name)} → {getattr(result.activity, name)}")
                for name in result.differing
            )
            click.echo(f"activity {reading.activity.id}: {', '.join(fields)}")
