"""The command line: `fitness serve | worker | doctor | migrate | import | users | jobs | …`."""

import asyncio
import logging
import os
import signal
from dataclasses import replace

import click

from fitness import __version__
from fitness.domain.model.audit_chain import ChainHead
from fitness.domain.model.refusals import Refusal
from fitness.entrypoints.commands.importing import import_files
from fitness.entrypoints.commands.jobs import jobs
from fitness.entrypoints.commands.keys import keys
from fitness.entrypoints.commands.migrate import migrate
from fitness.entrypoints.commands.originals import reimport, sweep
from fitness.entrypoints.commands.statistics import stats
from fitness.entrypoints.commands.stores import settings_of_environment
from fitness.entrypoints.commands.users import users
from fitness.entrypoints.server.workers import StopSignals
from fitness.entrypoints.setting_values import MEMORY
from fitness.entrypoints.settings import CompleteSettings
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.doctor import diagnose
from fitness.entrypoints.wiring.stores import with_engines, with_running_engines
from fitness.ports.health import Verdict
from fitness.ports.outages import DatabaseUnavailable, Outage
from fitness.ports.setup import BadSetup

SETTINGS_HELP = "Settings are read from FITNESS_* in the environment; the README lists them."


class FriendlyGroup(click.Group):
    """Shows errors that the operator can act on as one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (BadSetup, Refusal, Outage) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=FriendlyGroup, epilog=SETTINGS_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """fitness keeps people's training activities."""


@main.command()
def serve() -> None:
    """Serve HTTP until Ctrl-C or SIGTERM.

    Without FITNESS_DATABASE_URL and FITNESS_REDIS_URL it runs a PostgreSQL and a Valkey of its own. With memory: in
    place of both it keeps everything in memory, and all of it is lost when the service stops.
    """
    settings = settings_of_environment()
    stop = StopSignals()
    from fitness.entrypoints.serving import refuse_taken_port, serve_http  # here: no other command needs Litestar

    refuse_taken_port(settings)
    ended: list[str] = []

    def end_service(engine: str) -> None:
        ended.append(engine)
        os.kill(os.getpid(), signal.SIGTERM)

    with with_engines(settings, engine_ended=end_service) as complete:
        if settings.in_memory:
            click.echo("everything is kept in memory: nothing of it is left when the service stops", err=True)
        elif settings.embedded:
            for title in Container(settings=complete).migrations().up():
                click.echo(f"applied {title}", err=True)
        else:
            _warn_of_old_schema(complete)
        serve_http(complete, stop)
    if ended:  # without the engine, the service could only answer with errors
        raise click.ClickException(f"{ended[0]} ended unexpectedly, and the service with it; nothing is lost")


@main.command()
def worker() -> None:
    """Work off background jobs until Ctrl-C or SIGTERM, beside any number of `fitness serve`.

    On embedded engines `fitness serve` has a worker of its own. FITNESS_METRICS_PORT is the port of this worker's
    metrics.
    """
    settings = settings_of_environment()
    if settings.in_memory:
        raise BadSetup(f"FITNESS_DATABASE_URL is {MEMORY}: `fitness serve` works off its jobs itself")
    stop = StopSignals()
    from fitness.entrypoints.worker import run_worker  # here: no other command needs Litestar

    with with_running_engines(settings) as complete:
        run_worker(replace(complete, metrics_dir=settings.metrics_dir), stop)


@main.command()
@click.option("--audit-head", type=ChainHead.parse, metavar="N:HASH", help="An end of the audit log, printed before.")
def doctor(audit_head: ChainHead | None) -> None:
    """Check how the stores are set up, whether the audit log is whole and the totals are right.

    Exits with 1 if something is wrong.
    """
    given = settings_of_environment()
    with with_running_engines(given) as settings:
        own = given.data_dir if given.embedded else None
        found = asyncio.run(diagnose(settings, data_dir=own, audit_head=audit_head))
    colours = {Verdict.GOOD: "green", Verdict.DOUBTFUL: "yellow", Verdict.WRONG: "red"}
    for store, findings in found.items():
        for finding in findings:
            click.echo(f"{click.style(f'{finding.verdict:8}', colours[finding.verdict])}  {store}: {finding.message}")
    if wrong := sum(one.verdict is Verdict.WRONG for findings in found.values() for one in findings):
        raise click.ClickException(f"{wrong} things are wrong" if wrong > 1 else "one thing is wrong")


def _warn_of_old_schema(settings: CompleteSettings) -> None:
    """The service starts all the same: readiness keeps requests away until the schema is migrated."""
    try:
        statuses = Container(settings=settings).migrations().status()
    except (DatabaseUnavailable, BadSetup) as error:
        logging.getLogger(__name__).warning("the schema goes unchecked: %s", error)
        return
    if missing := [status.title for status in statuses if status.applied_at is None]:
        what = "the database lacks %s: run `fitness migrate up`; readiness says unavailable until then"
        logging.getLogger(__name__).warning(what, ", ".join(missing))


main.add_command(migrate)
main.add_command(import_files)
main.add_command(users)
main.add_command(keys)
main.add_command(jobs)
main.add_command(stats)
main.add_command(reimport)
main.add_command(sweep)
