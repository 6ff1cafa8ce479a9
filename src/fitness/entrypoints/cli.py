"""The command line: `fitness serve | doctor | migrate | import | users`."""

import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from fitness import __version__
from fitness.domain.model.audit_chain import ChainHead
from fitness.domain.model.listings import Page
from fitness.domain.model.recordings import MAX_RECORDING_BYTES
from fitness.domain.model.refusals import DuplicateActivity, RecordingTooLarge, Refusal
from fitness.domain.model.text import escaped
from fitness.domain.model.users import Caller, Registration, Role, Tier, User
from fitness.entrypoints.logs import configure_logs
from fitness.entrypoints.server.workers import StopSignals
from fitness.entrypoints.settings import MEMORY, CompleteSettings, Settings
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.doctor import diagnose
from fitness.entrypoints.wiring.lifecycle import running
from fitness.entrypoints.wiring.stores import settings_from, with_engines, with_running_engines
from fitness.ports.health import Verdict
from fitness.ports.outages import DatabaseUnavailable, Outage
from fitness.ports.setup import BadSetup

T = TypeVar("T")

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

    Without FITNESS_DATABASE_URL and FITNESS_REDIS_URL it runs a PostgreSQL and a Valkey of its own; with memory: in
    place of both it keeps everything in memory, and nothing of it after.
    """
    settings = _settings()
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
    if ended:  # without its engine the service could only answer errors
        raise click.ClickException(f"{ended[0]} ended unexpectedly, and the service with it; nothing is lost")


@main.command()
@click.option("--audit-head", type=ChainHead.parse, metavar="N:HASH", help="An end of the audit log, printed before.")
def doctor(audit_head: ChainHead | None) -> None:
    """Check how the stores are set up and whether the audit log is whole; exits with 1 if something is wrong."""
    given = _settings()
    with with_running_engines(given) as settings:
        own = given.data_dir if given.embedded else None
        found = asyncio.run(diagnose(settings, data_dir=own, audit_head=audit_head))
    colours = {Verdict.GOOD: "green", Verdict.DOUBTFUL: "yellow", Verdict.WRONG: "red"}
    for store, findings in found.items():
        for finding in findings:
            click.echo(f"{click.style(f'{finding.verdict:8}', colours[finding.verdict])}  {store}: {finding.message}")
    if wrong := sum(one.verdict is Verdict.WRONG for findings in found.values() for one in findings):
        raise click.ClickException(f"{wrong} things are wrong" if wrong > 1 else "one thing is wrong")


@main.group()
def migrate() -> None:
    """Migrate the database's schema up or down."""


@migrate.command("up")
def migrate_up() -> None:
    """Apply all missing migrations."""
    with with_running_engines(_settings()) as settings:
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
    with with_running_engines(_settings()) as settings:
        titles = Container(settings=settings).migrations().down(steps, drop_audit_log=drop_audit_log)
    for title in titles:
        click.echo(f"took back {title}")
    if not titles:
        click.echo("nothing to take back")


@migrate.command("status")
def migrate_status() -> None:
    """List the migrations, each with the time it was applied."""
    with with_running_engines(_settings()) as settings:
        statuses = Container(settings=settings).migrations().status()
    for status in statuses:
        click.echo(f"{status.title}  {status.applied_at or 'missing'}")
    if not statuses:
        click.echo("nothing to migrate")


@main.command("import")
@click.argument("paths", metavar="FILE…", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--user", "email", required=True, metavar="EMAIL", help="Owner of the activities.")
def import_files(paths: tuple[str, ...], email: str) -> None:
    """Make activities of recorded FIT, GPX or TCX files, plain or gzipped."""

    async def run(container: Container) -> Counter[str]:
        user = await container.administration().user(email)
        caller = Caller(user.id, session_id="command line")
        outcomes: Counter[str] = Counter()
        with click.progressbar(paths, label="importing", file=sys.stderr, item_show_func=_name) as progress:
            for path in progress:
                outcome, message = await _import_one(container, Path(path), caller)
                outcomes[outcome] += 1
                _line_above_bar(f"{path}: {outcome}, {message}")
        return outcomes

    outcomes = _with_container(run)
    click.echo(", ".join(f"{outcomes[outcome]} {outcome}" for outcome in ("imported", "skipped", "refused")))
    if outcomes["refused"]:
        sys.exit(1)


@main.group()
def users() -> None:
    """Create accounts; set roles and tiers."""


@users.command("create")
@click.argument("email")
@click.option("--name", help="The person's name.")
@click.option("--timezone", default="UTC", show_default=True, help="IANA name; the default of their activities.")
@click.option("--admin", is_flag=True, help="Give the admin role.")
@click.password_option(help="Prompted for if not given.")
def create_user(email: str, name: str | None, timezone: str, admin: bool, password: str) -> None:
    """Open an account; with --admin this makes the first administrator."""

    async def run(container: Container) -> User:
        registration = Registration(email=email, password=password, name=name, timezone=timezone)
        user = await container.accounts().register(registration)
        if admin:
            user = await container.administration().set_standing_as_operator(user.email, role=Role.ADMIN)
        return user

    show([_with_container(run)])


@users.command("promote")
@click.argument("email")
def promote(email: str) -> None:
    """Give the admin role."""
    _set_standing(email, role=Role.ADMIN)


@users.command("demote")
@click.argument("email")
def demote(email: str) -> None:
    """Take the admin role away."""
    _set_standing(email, role=Role.USER)


@users.command("set-tier")
@click.argument("email")
@click.argument("tier", type=click.Choice([tier.value for tier in Tier]))
def set_tier(email: str, tier: str) -> None:
    """Set the tier, which decides the rate limits."""
    _set_standing(email, tier=Tier(tier))


@users.command("list")
def list_users() -> None:
    """Show every account, latest first."""

    async def run(container: Container) -> list[User]:
        found: list[User] = []
        page: Page | None = Page(limit=100)
        while page is not None:
            listing = await container.administration().list_as_operator(page)
            found += listing.items
            page = Page(limit=100, after=listing.next) if listing.next else None
        return found

    show(_with_container(run))


def _settings() -> Settings:
    settings = settings_from(os.environ)
    configure_logs(settings.log_format)
    return settings


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


def _with_container(run: Callable[[Container], Awaitable[T]]) -> T:
    """Run a use case on the service's stores; embedded engines are started if no service runs them."""

    async def within(settings: CompleteSettings) -> T:
        async with running(settings) as container:
            return await run(container)

    settings = _settings()
    if settings.in_memory:
        raise BadSetup(f"FITNESS_DATABASE_URL is {MEMORY}; this command would have data of its own and keep none of it")
    with with_running_engines(settings) as complete:
        if settings.embedded:
            Container(settings=complete).migrations().up()
        return asyncio.run(within(complete))


async def _import_one(container: Container, path: Path, caller: Caller) -> tuple[str, str]:
    """The outcome, one of imported, skipped and refused, and the reason or result in words."""
    try:
        data = await asyncio.to_thread(_content, path)
        activities = await container.imports().import_file(data, by=caller)
    except DuplicateActivity as refusal:
        return "skipped", str(refusal)
    except (Refusal, OSError) as refusal:
        return "refused", str(refusal)
    made = (f"activity {one.id} ({one.activity_type}, {one.duration_minutes:.0f} min)" for one in activities)
    return "imported", ", ".join(made)


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


def _set_standing(email: str, *, role: Role | None = None, tier: Tier | None = None) -> None:
    async def run(container: Container) -> User:
        return await container.administration().set_standing_as_operator(email, role=role, tier=tier)

    show([_with_container(run)])


def show(found: list[User]) -> None:
    """A line for each. Addresses of before there was a rule may hold what a terminal would act on."""
    for user in found:
        click.echo(f"{user.id}\t{escaped(user.email)}\t{user.role}\t{user.tier}\t{user.created_at:%Y-%m-%d}")
