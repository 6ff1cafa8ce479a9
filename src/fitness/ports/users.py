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
    """The kept accounts. Every method is one transaction, and raises DatabaseUnavailable when there is no answer."""

    async def add(self, registration: Registration, *, password_hash: str, at: datetime) -> User:
        """A new account: role user, tier free, weeks from Monday. Raises EmailTaken."""

    async def get(self, user_id: int) -> User | None:
        """A living account."""

    async def find(self, email: str) -> User | None:
        """The living account with this address, which must be given in the form it is kept in."""

    async def credentials(self, email: str) -> Credentials | None:
        """What a login for this address is checked against."""

    async def password_hash(self, user_id: int) -> str | None:
        """The password hash of the living account."""

    async def hash_to_reset(self, user_id: int, *, messages: Messages) -> str | None:
        """As `password_hash`, but the messages carry the authority: a reset token made with the hash lets its holder
        set another password.
        """

    async def rehash(self, user_id: int, *, before: str, after: str) -> None:
        """Replace the hash of the same password, if it is still the one `before`."""

    async def set_password(
        self, user_id: int, *, before: str | None, after: str, at: datetime, spared: str | None, messages: Messages
    ) -> bool:
        """Set the hash of another password; if `before` is given, only while that is still the account's hash. Every
        session whose login began before `at` is ended, but the `spared` one. The profile keeps its `updated_at`.
        """

    async def soft_delete(self, user_id: int, *, before: str, at: datetime, messages: Messages) -> bool:
        """Delete a living account, if its password hash is still `before`, with all its sessions.

        Then only `restore` and `list` find the account, and its address is free. Raises LastAdmin.
        """

    async def restore(self, user_id: int, *, after: datetime, messages: Messages) -> User | None:
        """The account, living again, if it was deleted after that time; the messages carry the authority and its time.

        Raises EmailTaken where another living account has its address by now.
        """

    async def update_profile(
        self, user_id: int, changes: ProfileChanges, *, at: datetime, seen: User | None = None, messages: Messages
    ) -> User | None:
        """Set what `changes` names and leave the rest. Returns the account, updated `at` only if it differs now.

        None if there is no such account, or, where `seen` is given, if the account differs from it in anything.
        """

    async def set_standing(
        self, user_id: int, *, role: Role | None = None, tier: Tier | None = None, messages: Messages
    ) -> User | None:
        """Set the role, the tier or both; the messages carry the authority. Returns the changed account.

        Raises LastAdmin where no other living account would be an admin, however many are demoted at once.
        """

    async def list(self, page: Page, which: AccountFilter = LIVING) -> Listing[Account]:
        """Accounts, latest `created_at` first, ties by id descending."""
