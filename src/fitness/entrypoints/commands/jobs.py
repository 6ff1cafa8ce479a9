"""`fitness jobs`: the queue of background jobs, for operators."""

import click

from fitness.domain.model.jobs import JobStatus, KeptJob
from fitness.entrypoints.commands.stores import on_stores
from fitness.entrypoints.wiring.container import Container


@click.group()
def jobs() -> None:
    """Background jobs: list them, retry those that failed, cancel those that wait."""


@jobs.command("list")
@click.option("--status", type=click.Choice([status.value for status in JobStatus]), help="Only those.")
def list_jobs(status: str | None) -> None:
    """Show the jobs that are kept, in their order. Jobs that succeeded are not kept.

    Columns: id, task, queue, status, attempts, when it is due, arguments.
    """

    async def run(container: Container) -> list[KeptJob]:
        return [*await container.job_queue().list(JobStatus(status) if status else None)]

    for job in on_stores(run):
        due = f"{job.due_at:%Y-%m-%dT%H:%M:%SZ}" if job.due_at else "now"
        arguments = " ".join(f"{name}={value}" for name, value in job.arguments.items())
        click.echo("\t".join([str(job.id), job.task, job.queue, job.status, str(job.attempts), due, arguments]))


@jobs.command("retry")
@click.argument("job_id", type=click.IntRange(min=1))
def retry_job(job_id: int) -> None:
    """Have a failed or cancelled job carried out again."""

    async def run(container: Container) -> bool:
        retried: bool = await container.job_queue().retry(job_id)
        return retried

    if not on_stores(run):
        raise click.ClickException(f"there is no failed or cancelled job {job_id}")
    click.echo(f"job {job_id} waits for its turn")


@jobs.command("cancel")
@click.argument("job_id", type=click.IntRange(min=1))
def cancel_job(job_id: int) -> None:
    """Take a waiting job out of its turn; `retry` brings it back."""

    async def run(container: Container) -> bool:
        cancelled: bool = await container.job_queue().cancel(job_id)
        return cancelled

    if not on_stores(run):
        raise click.ClickException(f"there is no waiting job {job_id}; one that runs goes on")
    click.echo(f"job {job_id} is cancelled")
