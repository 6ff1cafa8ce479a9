"""`fitness import`: makes activities of recorded files."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import click

from fitness.domain.model.file_refusals import RecordingTooLarge
from fitness.domain.model.originals import UploadedFile
from fitness.domain.model.recordings import MAX_RECORDING_BYTES
from fitness.domain.model.refusals import DuplicateActivity, Refusal
from fitness.domain.model.twins import OnDuplicate
from fitness.domain.model.users import Caller
from fitness.entrypoints.commands.stores import on_stores
from fitness.entrypoints.wiring.container import Container


@click.command("import")
@click.argument("paths", metavar="FILE…", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--user", "email", required=True, metavar="EMAIL", help="Owner of the activities.")
@click.option(
    "--on-duplicate",
    type=click.Choice([one.value for one in OnDuplicate]),
    default=OnDuplicate.REFUSE.value,
    show_default=True,
    help="What to do with an activity that is there already.",
)
def import_files(paths: tuple[str, ...], email: str, on_duplicate: str) -> None:
    """Make activities of recorded FIT, GPX or TCX files, plain or gzipped."""

    async def run(container: Container) -> Counter[str]:
        user = await container.administration().user(email)
        caller = Caller(user.id, session_id="command line")
        outcomes: Counter[str] = Counter()
        with click.progressbar(paths, label="importing", file=sys.stderr, item_show_func=_name) as progress:
            for path in progress:
                outcome, message = await _import_one(container, Path(path), caller, OnDuplicate(on_duplicate))
                outcomes[outcome] += 1
                _line_above_bar(f"{path}: {outcome}, {message}")
        return outcomes

    outcomes = on_stores(run)
    click.echo(", ".join(f"{outcomes[outcome]} {outcome}" for outcome in ("imported", "skipped", "refused")))
    if outcomes["refused"]:
        sys.exit(1)


async def _import_one(container: Container, path: Path, caller: Caller, on_duplicate: OnDuplicate) -> tuple[str, str]:
    """The outcome (imported, skipped or refused), and the result or the reason in words."""
    try:
        data = await asyncio.to_thread(_content, path)
        file = UploadedFile(data, path.name)
        made = await container.imports().import_file(file, by=caller, on_duplicate=on_duplicate)
    except DuplicateActivity as refusal:
        return "skipped", str(refusal)
    except (Refusal, OSError) as refusal:
        return "refused", str(refusal)
    said = [f"activity {one.id} ({one.activity_type}, {one.duration_minutes:.0f} min)" for one in made.activities]
    said += [f"the same as activity {one}" for one in made.existing]
    return "imported" if made.activities else "skipped", "; ".join([", ".join(said), *made.warnings])


def _content(path: Path) -> bytes:
    if path.stat().st_size > MAX_RECORDING_BYTES:
        raise RecordingTooLarge(MAX_RECORDING_BYTES)
    return path.read_bytes()


def _line_above_bar(text: str) -> None:
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    click.echo(text)


def _name(path: str | None) -> str | None:
    return Path(path).name if path else None
