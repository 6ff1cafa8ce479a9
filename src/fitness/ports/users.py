"""Where accounts are kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fitness.domain.model.listings import Listing, Page
from fitness.domain.model.users import ProfileChanges, Registration, Role, Tier, User
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

    async def update_profile(
        self, user_id: int, changes: ProfileChanges, *, at: datetime, messages: Messages
    ) -> User | None:
        """Set what `changes` names and leave the rest; the account as it is then."""

    async def set_standing(
        self, user_id: int, *, role: Role | None = None, tier: Tier | None = None, messages: Messages
    ) -> User | None:
        """Set the role, the tier or both; the messages carry the authority. The account as it is then."""

    async def list(self, page: Page) -> Listing[User]:
        """Living accounts, latest `created_at` first, ties by id descending."""
