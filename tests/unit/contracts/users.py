"""What every UserRepoPort and AuditLogPort promise."""

import asyncio
from datetime import timedelta

import pytest

from fitness.domain.model.audit import AuditAction, Authority
from fitness.domain.model.audit_chain import ChainHead, broken_at, link_of
from fitness.domain.model.listings import Page
from fitness.domain.model.refusals import EmailTaken
from fitness.domain.model.users import ProfileChanges, Role, Tier, User, WeekStart
from fitness.ports.audit import AuditLogPort
from fitness.ports.cache import Scope
from fitness.ports.outbox import OutboxPort, PendingInvalidation
from fitness.ports.users import Credentials, UserRepoPort
from tests.builders import NOW, a_registration, messages

LATER = NOW + timedelta(hours=1)
UNKNOWN_ID = 2**40
STALE = Scope("account", 1)


class UserRepoContract:
    """An implementation's class gives the fixtures `users`, `audit`, `outbox` over one store, empty for each test."""

    async def test_a_new_account_has_no_privileges(self, users: UserRepoPort):
        registration = a_registration(email="ann@example.org", name="Ann", timezone="Europe/Paris")
        user = await users.add(registration, password_hash="-", at=NOW)
        assert (user.email, user.name, user.timezone) == ("ann@example.org", "Ann", "Europe/Paris")
        assert (user.role, user.tier, user.week_start) == (Role.USER, Tier.FREE, WeekStart.MONDAY)
        assert (user.created_at, user.updated_at) == (NOW, NOW)

    async def test_an_account_is_found_by_id_and_by_address(self, users: UserRepoPort):
        user = await users.add(a_registration(email="ann@example.org"), password_hash="-", at=NOW)
        assert await users.get(user.id) == user
        assert await users.find("ann@example.org") == user
        assert await users.get(UNKNOWN_ID) is None
        assert await users.find("bob@example.org") is None

    async def test_an_address_is_taken_once(self, users: UserRepoPort):
        await users.add(a_registration(email="ann@example.org"), password_hash="-", at=NOW)
        with pytest.raises(EmailTaken):
            await users.add(a_registration(email="ann@example.org"), password_hash="-", at=NOW)

    async def test_of_many_at_once_with_one_address_one_is_added(self, users: UserRepoPort):
        attempts = [users.add(a_registration(email="ann@example.org"), password_hash="-", at=NOW) for _ in range(20)]
        answers = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(one, User) for one in answers) == 1
        assert sum(isinstance(one, EmailTaken) for one in answers) == 19

    async def test_credentials_are_the_hash_of_that_account(self, users: UserRepoPort):
        user = await users.add(a_registration(email="ann@example.org"), password_hash="salted", at=NOW)
        assert await users.credentials("ann@example.org") == Credentials(user.id, "salted")
        assert await users.credentials("bob@example.org") is None

    @pytest.mark.parametrize(
        ("changes", "name", "timezone", "week_start"),
        [
            ({}, "Ann", "UTC", WeekStart.MONDAY),
            ({"name": None}, None, "UTC", WeekStart.MONDAY),
            ({"name": "Eve", "timezone": "Asia/Tokyo"}, "Eve", "Asia/Tokyo", WeekStart.MONDAY),
            ({"week_start": WeekStart.SUNDAY}, "Ann", "UTC", WeekStart.SUNDAY),
        ],
    )
    async def test_a_profile_changes_in_what_is_named(
        self, users: UserRepoPort, changes: ProfileChanges, name: str | None, timezone: str, week_start: WeekStart
    ):
        user = await users.add(a_registration(name="Ann"), password_hash="-", at=NOW)
        changed = await users.update_profile(user.id, changes, at=LATER, messages=messages())
        assert changed is not None
        assert (changed.name, changed.timezone, changed.week_start) == (name, timezone, week_start)
        assert changed.updated_at == LATER
        assert await users.get(user.id) == changed

    async def test_an_unknown_profile_changes_nothing(self, users: UserRepoPort):
        assert await users.update_profile(UNKNOWN_ID, {"name": "Eve"}, at=LATER, messages=messages()) is None

    async def test_standing_changes_in_what_is_named_and_is_logged(self, users: UserRepoPort, audit: AuditLogPort):
        user = await users.add(a_registration(), password_hash="-", at=NOW)
        paid = messages(authority=Authority(actor_id=5, at=LATER, reason="paid"))
        premium = await users.set_standing(user.id, tier=Tier.PREMIUM, messages=paid)
        assert premium is not None
        assert (premium.role, premium.tier) == (Role.USER, Tier.PREMIUM)
        hired = messages(authority=Authority(actor_id=None, at=LATER, reason="hired"))
        admin = await users.set_standing(user.id, role=Role.ADMIN, messages=hired)
        assert admin is not None
        assert (admin.role, admin.tier) == (Role.ADMIN, Tier.PREMIUM)
        latest, earlier = (await audit.list(Page())).items
        assert (latest.actor_id, latest.reason, earlier.actor_id, earlier.reason) == (None, "hired", 5, "paid")
        assert (latest.action, latest.subject_id, latest.owner_id) == (AuditAction.USER_CHANGED, user.id, user.id)

    async def test_a_change_of_standing_writes_its_invalidations(self, users: UserRepoPort, outbox: OutboxPort):
        user = await users.add(a_registration(), password_hash="-", at=NOW)
        sent = messages(STALE, authority=Authority(actor_id=None, at=LATER, reason="-"))
        await users.set_standing(UNKNOWN_ID, tier=Tier.PREMIUM, messages=sent)
        assert list(await outbox.pending()) == []
        await users.set_standing(user.id, tier=Tier.PREMIUM, messages=sent)
        assert list(await outbox.pending()) == [PendingInvalidation(sent.id, (STALE,))]

    async def test_an_unknown_standing_changes_and_logs_nothing(self, users: UserRepoPort, audit: AuditLogPort):
        authority = Authority(actor_id=None, at=LATER, reason="-")
        sent = messages(STALE, authority=authority)
        assert await users.set_standing(UNKNOWN_ID, tier=Tier.PREMIUM, messages=sent) is None
        assert (await audit.list(Page())).total == 0

    async def test_accounts_are_listed_latest_first(self, users: UserRepoPort):
        added = [
            await users.add(a_registration(), password_hash="-", at=NOW + timedelta(minutes=minute))
            for minute in (0, 2, 1, 2)
        ]
        first = await users.list(Page(limit=3))
        assert first.items == (added[3], added[1], added[2])
        assert first.total == 4
        assert (await users.list(Page(limit=3, after=first.next))).items == (added[0],)

    async def test_the_audit_log_pages_latest_first_and_ties_fall_by_id(self, users: UserRepoPort, audit: AuditLogPort):
        user = await users.add(a_registration(), password_hash="-", at=NOW)
        for reason, minute in [("a", 0), ("b", 5), ("c", 5), ("d", 1)]:
            authority = Authority(actor_id=None, at=LATER + timedelta(minutes=minute), reason=reason)
            await users.set_standing(user.id, tier=Tier.FREE, messages=messages(authority=authority))
        first = await audit.list(Page(limit=3))
        assert [entry.reason for entry in first.items] == ["c", "b", "d"]
        assert first.total == 4
        rest = await audit.list(Page(limit=3, after=first.next))
        assert [entry.reason for entry in rest.items] == ["a"]

    async def test_the_audit_log_is_a_chain_in_the_order_of_writing(self, users: UserRepoPort, audit: AuditLogPort):
        user = await users.add(a_registration(), password_hash="-", at=NOW)
        reasons = [("late", 5), ('quotes " \\ / and \t\n\x01\x7f', 0), ("Łódź 🚲 \u2028", 1)]
        for number, (reason, minute) in enumerate(reasons):
            at = LATER + timedelta(minutes=minute, microseconds=number)
            authority = Authority(actor_id=number or None, at=at, reason=reason)
            await users.set_standing(user.id, tier=Tier.FREE, messages=messages(authority=authority))
        links = sorted(map(link_of, (await audit.list(Page())).items), key=lambda link: link.position)
        assert [link.reason for link in links] == [reason for reason, _ in reasons]
        assert broken_at(links, ChainHead(3, links[-1].hash)) is None

    async def test_entries_written_at_the_same_time_are_one_chain(self, users: UserRepoPort, audit: AuditLogPort):
        people = [await users.add(a_registration(), password_hash="-", at=NOW) for _ in range(8)]
        changes = [
            users.set_standing(
                people[number % 8].id,
                tier=Tier.FREE,
                messages=messages(authority=Authority(actor_id=number, at=LATER, reason="-")),
            )
            for number in range(40)
        ]
        await asyncio.gather(*changes)
        links = sorted(map(link_of, (await audit.list(Page(limit=100))).items), key=lambda link: link.position)
        assert broken_at(links, ChainHead(40, links[-1].hash)) is None
