"""An account as a row: its columns, and the User or Account made of them."""

from typing import Any, LiteralString

from fitness.domain.model.users import Account, Role, Tier, User, WeekStart

COLUMNS: LiteralString = "id, email, name, timezone, week_start, role, tier, created_at, updated_at"


def user_of(row: tuple[Any, ...]) -> User:
    return User(**_fields(row))


def account_of(row: tuple[Any, ...]) -> Account:
    return Account(**_fields(row), deleted_at=row[9])


def _fields(row: tuple[Any, ...]) -> dict[str, Any]:
    return {
        "id": row[0],
        "email": row[1],
        "name": row[2],
        "timezone": row[3],
        "week_start": WeekStart(row[4]),
        "role": Role(row[5]),
        "tier": Tier(row[6]),
        "created_at": row[7],
        "updated_at": row[8],
    }
