"""`fitness users`: accounts, for operators."""

import click

from fitness.domain.model.listings import Page
from fitness.domain.model.text import escaped
from fitness.domain.model.users import Registration, Role, Tier, User
from fitness.entrypoints.commands.stores import on_stores
from fitness.entrypoints.wiring.container import Container


@click.group()
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

    show([on_stores(run)])


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


@users.command("reset-password")
@click.argument("email")
def reset_password(email: str) -> None:
    """Print a token with which the account's owner sets another password.

    POST it to /api/v1/auth/reset as reset_token, with the new password, within 24 hours. It is good once.
    """

    async def run(container: Container) -> str:
        return (await container.administration().issue_reset_as_operator(email)).reset_token

    click.echo(on_stores(run))


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

    show(on_stores(run))


def _set_standing(email: str, *, role: Role | None = None, tier: Tier | None = None) -> None:
    async def run(container: Container) -> User:
        return await container.administration().set_standing_as_operator(email, role=role, tier=tier)

    show([on_stores(run)])


def show(found: list[User]) -> None:
    """Print a line for each. Addresses older than the rule for them may hold characters that control a terminal."""
    for user in found:
        click.echo(f"{user.id}\t{escaped(user.email)}\t{user.role}\t{user.tier}\t{user.created_at:%Y-%m-%d}")
