"""Where accounts are kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fitness.domain.model.listings import Listing, Page
from fitness.domain.model.users import LIVING, Account, AccountFilter, ProfileChanges, Registration, Role, Tier, User
from fitness.ports.messages import Messages


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is checked against."""

    user_id: int
    password_hash: str


class UserRepoPort(Protocol):
    """The kept accounts. Every method is one transaction. It raises DatabaseUnavailable when there is no answer."""

    async def add(self, registration: Registration, *, password_hash: str, at: datetime) -> User:
        """A new account: role user, tier free, weeks from Monday. Raises EmailTaken."""

    async def get(self, user_id: int) -> User | None:
        """A living account."""

    async def find(self, email: str) -> User | None:
        """The living account with this address, in the form it is kept in."""

    async def credentials(self, email: str) -> Credentials | None:
        """What to check a login for this address against."""

    async def password_hash(self, user_id: int) -> str | None:
        """The living account's."""

    async def hash_to_reset(self, user_id: int, *, messages: Messages) -> str | None:
        """As `password_hash`; the messages carry the authority, since whoever is given it can set another password."""

    async def rehash(self, user_id: int, *, before: str, after: str) -> None:
        """Replace the hash of the same password, if it is still the one `before`."""

    async def set_password(
        self, user_id: int, *, before: str | None, after: str, at: datetime, spared: str | None, messages: Messages
    ) -> bool:
        """Set another password's hash, if it is still the one `before`, where that is given. Every session whose login
        began before `at` is ended, but the `spared` one.
        """

    async def soft_delete(self, user_id: int, *, before: str, at: datetime, messages: Messages) -> bool:
        """Delete a living account, if its password hash is still `before`, with all its sessions.

        It is there for `restore` and `list` alone; its address is free. Raises LastAdmin.
        """

    async def restore(self, user_id: int, *, after: datetime, messages: Messages) -> User | None:
        """The account, living again, if it was deleted after that time; the messages carry the authority.

        Raises EmailTaken where another living account has its address by now.
        """

    async def update_profile(
        self, user_id: int, changes: ProfileChanges, *, at: datetime, seen: User | None = None, messages: Messages
    ) -> User | None:
        """Set what `changes` names and leave the rest; the account as it is then.

        None if it is not there, or differs in anything from what was `seen`, where that is given.
        """

    async def set_standing(
        self, user_id: int, *, role: Role | None = None, tier: Tier | None = None, messages: Messages
    ) -> User | None:
        """Set the role, the tier or both; the messages carry the authority. The account as it is then.

        Raises LastAdmin where no other living account would be an admin, however many are demoted at once.
        """

    async def list(self, page: Page, which: AccountFilter = LIVING) -> Listing[Account]:
        """Accounts, latest `created_at` first, ties by id descending."""
