"""What every UserRepoPort and AuditLogPort promise."""

import asyncio
from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from fitness.domain.model.audit import AuditAction, AuditFilter, Authority
from fitness.domain.model.audit_chain import ChainHead, broken_at, link_of
from fitness.domain.model.listings import Page
from fitness.domain.model.refusals import EmailTaken, LastAdmin
from fitness.domain.model.sessions import microseconds
from fitness.domain.model.users import (
    LIVING,
    NOBODY,
    Account,
    AccountFilter,
    AccountState,
    Caller,
    ProfileChanges,
    Role,
    Tier,
    User,
    WeekStart,
    normalized_email,
)
from fitness.ports.audit import AuditLogPort
from fitness.ports.cache import Scope
from fitness.ports.outbox import OutboxPort, PendingInvalidation
from fitness.ports.standings import StandingPort
from fitness.ports.users import Credentials, UserRepoPort
from tests.builders import NOW, a_registration, messages

LATER = NOW + timedelta(hours=1)
UNKNOWN_ID = 2**40
BY_NOBODY = Authority(actor_id=None, at=LATER, reason="-")
STALE = Scope("account", 1)


class UserRepoContract:
    """An implementation's class gives the fixtures `users`, `standings`, `audit` and `outbox` over one empty store."""

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

    @pytest.mark.parametrize("name", ["Ann", None])
    async def test_a_profile_that_differs_in_nothing_stays_as_it_is(self, users: UserRepoPort, name: str | None):
        user = await users.add(a_registration(name=name, timezone="Asia/Tokyo"), password_hash="-", at=NOW)
        same: list[ProfileChanges] = [
            {},
            {"name": name},
            {"week_start": WeekStart.MONDAY},
            {"name": name, "timezone": "Asia/Tokyo", "week_start": WeekStart.MONDAY},
        ]
        for changes in same:
            for seen in (None, user):
                kept = await users.update_profile(user.id, changes, at=LATER, seen=seen, messages=messages())
                assert kept == await users.get(user.id) == user

    async def test_an_unknown_profile_changes_nothing(self, users: UserRepoPort):
        assert await users.update_profile(UNKNOWN_ID, {"name": "Eve"}, at=LATER, messages=messages()) is None

    async def test_a_profile_that_is_not_as_it_was_seen_changes_in_nothing(
        self, users: UserRepoPort, outbox: OutboxPort
    ):
        seen = await users.add(a_registration(name=None), password_hash="-", at=NOW)
        named = await users.update_profile(seen.id, {"name": "Ann"}, at=NOW, seen=seen, messages=messages())
        assert named is not None
        for other in (seen, replace(named, tier=Tier.PREMIUM), replace(named, updated_at=LATER)):
            sent = messages(STALE)
            assert await users.update_profile(seen.id, {"name": "Eve"}, at=LATER, seen=other, messages=sent) is None
        assert await users.get(seen.id) == named
        assert STALE not in [scope for entry in await outbox.pending() for scope in entry.scopes]

    async def test_of_many_changes_of_one_profile_that_was_seen_one_is_made(self, users: UserRepoPort):
        seen = await users.add(a_registration(), password_hash="-", at=NOW)
        attempts = [
            users.update_profile(seen.id, {"name": f"Ann {one}"}, at=LATER, seen=seen, messages=messages())
            for one in range(20)
        ]
        changed = [one for one in await asyncio.gather(*attempts) if one is not None]
        assert changed == [await users.get(seen.id)]

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

    async def test_a_password_is_set_once_for_each_that_was_there(self, users: UserRepoPort, standings: StandingPort):
        user = await users.add(a_registration(email="ann@example.org"), password_hash="first", at=NOW)
        assert await users.password_hash(user.id) == "first"

        async def change(user_id: int, before: str | None, after: str) -> bool:
            return await users.set_password(
                user_id, before=before, after=after, at=LATER, spared="here", messages=messages(STALE)
            )

        changes = [change(user.id, "first", f"{number}") for number in range(9)]
        assert sorted(await asyncio.gather(*changes)) == [False] * 8 + [True]
        assert await change(user.id, None, "second")
        assert await users.credentials("ann@example.org") == Credentials(user.id, "second")
        assert await users.get(user.id) == user
        standing = await standings.of(user.id, at=LATER)
        assert (standing.not_before_us, standing.spared) == (microseconds(LATER), "here")
        assert not await change(UNKNOWN_ID, None, "-")
        assert await users.password_hash(UNKNOWN_ID) is None

    async def test_a_hash_is_replaced_by_a_stronger_one_of_the_same_password(
        self, users: UserRepoPort, standings: StandingPort
    ):
        user = await users.add(a_registration(), password_hash="weak", at=NOW)
        await users.rehash(user.id, before="weak", after="strong")
        await users.rehash(user.id, before="weak", after="late")
        assert await users.password_hash(user.id) == "strong"
        assert (await standings.of(user.id, at=NOW)).not_before_us == 0

    async def test_who_was_given_the_hash_to_reset_is_logged(self, users: UserRepoPort, audit: AuditLogPort):
        user = await users.add(a_registration(), password_hash="first", at=NOW)
        asked = messages(STALE, authority=Authority(actor_id=5, at=LATER, reason="forgotten"))
        assert await users.hash_to_reset(UNKNOWN_ID, messages=asked) is None
        assert await users.hash_to_reset(user.id, messages=asked) == "first"
        (entry,) = (await audit.list(Page())).items
        assert (entry.action, entry.subject_id, entry.actor_id) == (AuditAction.PASSWORD_RESET_ISSUED, user.id, 5)

    async def test_a_deleted_account_is_gone_and_its_address_free(
        self, users: UserRepoPort, standings: StandingPort, outbox: OutboxPort
    ):
        user = await users.add(a_registration(email="ann@example.org"), password_hash="-", at=NOW)
        sent = messages(STALE)
        assert not await users.soft_delete(user.id, before="another", at=LATER, messages=sent)
        assert not await users.soft_delete(UNKNOWN_ID, before="-", at=LATER, messages=sent)
        assert list(await outbox.pending()) == []
        assert await users.soft_delete(user.id, before="-", at=LATER, messages=sent)
        assert list(await outbox.pending()) == [PendingInvalidation(sent.id, (STALE,))]
        assert not await users.soft_delete(user.id, before="-", at=LATER, messages=sent)
        assert await users.get(user.id) is None
        assert await users.find("ann@example.org") is None
        assert await users.credentials("ann@example.org") is None
        assert await users.password_hash(user.id) is None
        assert await standings.of(user.id, at=LATER) == NOBODY
        assert await standings.ended(Caller(user.id, "a", microseconds(LATER) + 1))
        again = await users.add(a_registration(email="ann@example.org"), password_hash="-", at=LATER)
        assert await users.find("ann@example.org") == again

    async def test_a_deleted_account_changes_in_nothing(self, users: UserRepoPort, standings: StandingPort):
        user = await users.add(a_registration(), password_hash="-", at=NOW)
        await users.soft_delete(user.id, before="-", at=LATER, messages=messages())
        assert await users.update_profile(user.id, {"name": "Eve"}, at=LATER, messages=messages()) is None
        for role in Role:
            sent = messages(authority=BY_NOBODY)
            assert await users.set_standing(user.id, role=role, messages=sent) is None
        assert not await users.set_password(user.id, before=None, after="-", at=LATER, spared=None, messages=messages())
        assert not await standings.revoke(user.id, "a", at=LATER, messages=messages())
        assert not await standings.revoke_all(user.id, at=LATER, messages=messages())

    async def test_a_deleted_account_is_restored_once_in_its_time_and_logged(
        self, users: UserRepoPort, standings: StandingPort, audit: AuditLogPort
    ):
        user = await users.add(a_registration(), password_hash="-", at=NOW)
        sent = messages(STALE, authority=Authority(actor_id=5, at=LATER, reason="asked for"))
        assert await users.restore(user.id, after=NOW, messages=sent) is None
        await users.soft_delete(user.id, before="-", at=LATER, messages=messages())
        assert await users.restore(user.id, after=LATER, messages=sent) is None
        back = await users.restore(user.id, after=LATER - timedelta(microseconds=1), messages=sent)
        assert back == replace(user, updated_at=LATER)
        assert await users.get(user.id) == back
        assert await users.restore(user.id, after=NOW, messages=sent) is None
        assert await standings.ended(Caller(user.id, "a", microseconds(NOW)))
        (entry,) = (await audit.list(Page())).items
        assert (entry.action, entry.subject_id, entry.actor_id) == (AuditAction.USER_RESTORED, user.id, 5)

    async def test_an_account_whose_address_was_taken_is_not_restored(self, users: UserRepoPort, audit: AuditLogPort):
        user = await users.add(a_registration(email="ann@example.org"), password_hash="-", at=NOW)
        await users.soft_delete(user.id, before="-", at=LATER, messages=messages())
        await users.add(a_registration(email="ann@example.org"), password_hash="-", at=LATER)
        with pytest.raises(EmailTaken):
            await users.restore(user.id, after=NOW, messages=messages(authority=BY_NOBODY))
        assert (await audit.list(Page())).total == 0

    async def test_of_many_admins_who_are_demoted_or_deleted_at_once_one_stays(self, users: UserRepoPort):
        ids: list[int] = []
        for _ in range(25):
            while len(ids) < 3:
                ids.append((await users.add(a_registration(), password_hash="-", at=NOW)).id)
            for admin_id in ids:
                await users.set_standing(admin_id, role=Role.ADMIN, messages=messages(authority=BY_NOBODY))
            demoted = [
                users.set_standing(one, role=Role.USER, messages=messages(authority=BY_NOBODY)) for one in ids[:-1]
            ]
            deleted = users.soft_delete(ids[-1], before="-", at=LATER, messages=messages())
            answers = await asyncio.gather(deleted, *demoted, return_exceptions=True)
            assert [type(one) for one in answers if isinstance(one, BaseException)] == [LastAdmin]
            admins = (await users.list(Page(), AccountFilter(role=Role.ADMIN, state=AccountState.LIVING))).items
            ids = [admin.id for admin in admins]
            assert len(ids) == 1

    async def test_the_last_admin_is_neither_demoted_nor_deleted(self, users: UserRepoPort):
        admin = await users.add(a_registration(), password_hash="-", at=NOW)
        await users.set_standing(admin.id, role=Role.ADMIN, messages=messages(authority=BY_NOBODY))
        with pytest.raises(LastAdmin):
            await users.set_standing(admin.id, role=Role.USER, messages=messages(authority=BY_NOBODY))
        with pytest.raises(LastAdmin):
            await users.soft_delete(admin.id, before="-", at=LATER, messages=messages())

    async def test_whoever_is_no_admin_may_be_called_a_user(self, users: UserRepoPort):
        user = await users.add(a_registration(), password_hash="-", at=NOW)
        same = await users.set_standing(user.id, role=Role.USER, messages=messages(authority=BY_NOBODY))
        assert same is not None
        assert same.role is Role.USER

    async def test_accounts_are_found_by_what_is_known_of_them(self, users: UserRepoPort):
        ann, bob, eve = [
            await users.add(a_registration(email=f"{name}@example.org"), password_hash="-", at=NOW)
            for name in ("ann", "bob", "eve")
        ]
        await users.set_standing(bob.id, tier=Tier.PREMIUM, messages=messages(authority=BY_NOBODY))
        await users.set_standing(eve.id, role=Role.ADMIN, messages=messages(authority=BY_NOBODY))
        await users.soft_delete(ann.id, before="-", at=LATER, messages=messages())
        for which, found in [
            (AccountFilter(), {ann.id, bob.id, eve.id}),
            (AccountFilter(email=normalized_email("bob@example.org")), {bob.id}),
            (AccountFilter(email=normalized_email("ann@example.org")), {ann.id}),
            (AccountFilter(id=eve.id), {eve.id}),
            (AccountFilter(role=Role.ADMIN), {eve.id}),
            (AccountFilter(tier=Tier.PREMIUM), {bob.id}),
            (AccountFilter(tier=Tier.PREMIUM, role=Role.ADMIN), set()),
            (AccountFilter(state=AccountState.DELETED), {ann.id}),
            (LIVING, {bob.id, eve.id}),
        ]:
            listed = await users.list(Page(), which)
            assert {account.id for account in listed.items} == found
            assert listed.total == len(found)
            assert [account.deleted_at for account in listed.items if account.id == ann.id] in ([], [LATER])

    async def test_the_audit_log_is_narrowed_by_what_is_known(self, users: UserRepoPort, audit: AuditLogPort):
        ann, bob = [await users.add(a_registration(), password_hash="-", at=NOW) for _ in range(2)]
        for number, (actor_id, subject) in enumerate([(5, ann), (5, bob), (None, bob)]):
            authority = Authority(actor_id=actor_id, at=NOW + timedelta(hours=number), reason=f"{number}")
            await users.set_standing(subject.id, tier=Tier.FREE, messages=messages(authority=authority))
        for which, reasons in [
            (AuditFilter(), ["2", "1", "0"]),
            (AuditFilter(actor_id=5), ["1", "0"]),
            (AuditFilter(subject_id=bob.id), ["2", "1"]),
            (AuditFilter(actor_id=5, subject_id=bob.id), ["1"]),
            (AuditFilter(action=AuditAction.USER_CHANGED), ["2", "1", "0"]),
            (AuditFilter(action=AuditAction.ACTIVITY_PURGED), []),
            (AuditFilter(since=NOW + timedelta(hours=1)), ["2", "1"]),
            (AuditFilter(until=NOW + timedelta(hours=1)), ["0"]),
        ]:
            assert [entry.reason for entry in (await audit.list(Page(), which)).items] == reasons

    async def test_accounts_are_listed_latest_first(self, users: UserRepoPort):
        added = [
            await users.add(a_registration(), password_hash="-", at=NOW + timedelta(minutes=minute))
            for minute in (0, 2, 1, 2)
        ]
        first = await users.list(Page(limit=3))
        assert [account.id for account in first.items] == [added[3].id, added[1].id, added[2].id]
        assert first.total == 4
        (last,) = (await users.list(Page(limit=3, after=first.next))).items
        assert last == Account(**asdict(added[0]), deleted_at=None)

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
