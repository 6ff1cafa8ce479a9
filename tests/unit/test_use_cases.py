"""The services on the in-memory adapters: no engine, no HTTP, the same rules."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from fitness.adapters.credentials.refresh import HmacRefreshTokens
from fitness.adapters.credentials.reset import HmacResetTokens
from fitness.adapters.memory.activities import InMemoryActivityRepo
from fitness.adapters.memory.audit import InMemoryAuditLog
from fitness.adapters.memory.cache import InMemoryCache
from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.memory.credentials import InMemoryAccessTokens, InMemoryDeviceTokens, InMemoryPasswordHasher
from fitness.adapters.memory.logins import InMemoryLoginHistory
from fitness.adapters.memory.objects import InMemoryObjectNames, InMemoryObjectStore
from fitness.adapters.memory.originals import InMemoryOriginalRepo
from fitness.adapters.memory.rate_limits import InMemoryRateLimiter
from fitness.adapters.memory.recordings import InMemoryRecordingReader
from fitness.adapters.memory.sessions import InMemorySessionStore
from fitness.adapters.memory.standings import InMemoryStandings
from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.adapters.observed.rate_limits import ObservedRateLimiter
from fitness.domain.model.activities import Activity, ActivityState, ActivityType
from fitness.domain.model.listings import ActivityFilter, Page
from fitness.domain.model.originals import UploadedFile
from fitness.domain.model.recordings import Recording
from fitness.domain.model.refusals import (
    ActivityInTrash,
    ActivityNotFound,
    ActivityNotInTrash,
    AdminOnly,
    BadCredentials,
    DuplicateActivity,
    NotAuthenticated,
    VersionMismatch,
)
from fitness.domain.model.sessions import Session
from fitness.domain.model.users import Caller, Role, normalized_email
from fitness.domain.model.versions import Versions
from fitness.domain.use_cases.accounts import AccountService
from fitness.domain.use_cases.activities import ActivityService
from fitness.domain.use_cases.administration import AdminService
from fitness.domain.use_cases.caching.keys import activity_scope, user_scope
from fitness.domain.use_cases.caching.reads import Origin
from fitness.domain.use_cases.importing import ImportService
from fitness.domain.use_cases.limiting import LimitService
from fitness.domain.use_cases.local_limits import LocalLimits
from fitness.domain.use_cases.logins import LoginAttempts
from fitness.domain.use_cases.originals import ObjectSweep, OriginalService
from fitness.domain.use_cases.requesters import Requester
from fitness.domain.use_cases.rereading import RereadService
from fitness.domain.use_cases.sessions import SessionService
from fitness.ports.messages import IdempotencyKey
from fitness.ports.outages import Outage, Overloaded, SessionsUnavailable
from tests.builders import a_new_activity, a_registration, an_activity, messages
from tests.files import MORNING
from tests.unit.processes import CachingProcess

SWIM = Recording(activity_type=ActivityType.SWIM, started_at=MORNING, utc_offset=None, duration_s=600)
RUN = Recording(activity_type=ActivityType.RUN, started_at=MORNING, utc_offset=timedelta(hours=9), duration_s=900)


HERE = Requester("198.51.100.1")
DUATHLON = UploadedFile(b"duathlon", "Duathlon.fit")


@dataclass
class House:
    """Every service over one store."""

    store: InMemoryStore
    clock: ManualClock
    accounts: AccountService
    activities: ActivityService
    imports: ImportService
    originals: OriginalService
    rereading: RereadService
    sweep: ObjectSweep
    administration: AdminService

    async def caller(self) -> Caller:
        user = await self.accounts.register(a_registration(timezone="Europe/Paris"))
        return Caller(user.id, "session")

    async def admin(self) -> Caller:
        user = await self.accounts.register(a_registration())
        await self.administration.set_standing_as_operator(user.email, role=Role.ADMIN)
        return Caller(user.id, "session")


@pytest.fixture
async def house() -> House:
    store, clock = InMemoryStore(), ManualClock()
    repo, users, process = InMemoryActivityRepo(store), InMemoryUserRepo(store), CachingProcess(InMemoryCache(), store)
    cached, changes = process.reads, process.changes
    activities = ActivityService(repo, users, cached, changes, clock, trash_days=30)
    await process.relay.relay()
    standings, limiter = InMemoryStandings(store), ObservedRateLimiter(InMemoryRateLimiter())
    limits = LocalLimits(limiter, InMemoryRateLimiter(), limiter, 1)
    tokens, refresh_tokens = InMemoryAccessTokens(clock), HmacRefreshTokens(["k" * 32])
    sessions = SessionService(InMemorySessionStore(), standings, tokens, refresh_tokens, changes, clock)
    reader = InMemoryRecordingReader({b"duathlon": [SWIM, RUN]})
    originals, objects = InMemoryOriginalRepo(store), InMemoryObjectStore(clock)
    return House(
        store=store,
        clock=clock,
        accounts=AccountService(
            users,
            InMemoryPasswordHasher(),
            HmacResetTokens(["k" * 32]),
            sessions,
            LoginAttempts(
                InMemoryLoginHistory(),
                LimitService(limiter, limits, standings, clock, cached, 1.0),
                InMemoryDeviceTokens(clock),
                clock,
                b"secret",
            ),
            changes,
            clock,
        ),
        activities=activities,
        imports=ImportService(repo, originals, objects, users, changes, reader, clock),
        originals=OriginalService(activities, originals, objects),
        rereading=RereadService(originals, objects, changes, reader, clock),
        sweep=ObjectSweep(objects, InMemoryObjectNames(store), clock),
        administration=AdminService(repo, users, InMemoryAuditLog(store), HmacResetTokens(["k" * 32]), changes, clock),
    )


async def test_a_created_activity_is_at_home_and_written_through(house: House):
    ann = await house.caller()
    created = await house.activities.create(a_new_activity(), by=ann)
    assert created.activity.timezone == "Europe/Paris"
    copy = await house.activities.get(created.activity.id, by=ann)
    assert (copy.value, copy.origin) == (created.activity, Origin.HIT)


async def test_a_warm_copy_is_authorized_like_any_other(house: House):
    ann, bob = await house.caller(), await house.caller()
    kept = (await house.activities.create(a_new_activity(), by=ann)).activity
    await house.activities.get(kept.id, by=ann)
    with pytest.raises(ActivityNotFound):
        await house.activities.get(kept.id, by=bob)


async def test_a_lost_update_is_merged_again_unless_a_version_is_demanded(house: House):
    ann = await house.caller()
    kept = (await house.activities.create(a_new_activity(), by=ann)).activity
    await house.activities.update(kept.id, {"title": "theirs"}, by=ann)
    merged = await house.activities.update(kept.id, {"notes": "ours"}, by=ann)
    assert (merged.title, merged.notes, merged.version) == ("theirs", "ours", 3)
    with pytest.raises(VersionMismatch):
        await house.activities.update(kept.id, {"notes": "late"}, by=ann, versions=Versions(frozenset({2})))


class RestoredInBetween(InMemoryActivityRepo):
    """Somebody restores what was found in the trash right before anybody asks why it was."""

    async def state(self, activity_id: int, *, owner: int | None = None) -> ActivityState | None:
        assert owner is not None
        await self.restore(activity_id, owner=owner, at=MORNING, messages=messages())
        return await super().state(activity_id, owner=owner)


@pytest.mark.parametrize(
    "act",
    [
        lambda activities, one, by: activities.get(one, by=by),
        lambda activities, one, by: activities.update(one, {"title": "new"}, by=by),
        lambda activities, one, by: activities.delete(one, by=by),
    ],
    ids=["get", "update", "delete"],
)
async def test_what_is_restored_in_between_is_found_after_all(
    house: House, act: Callable[[ActivityService, int, Caller], Awaitable[object]]
):
    ann = await house.caller()
    one = (await house.activities.create(a_new_activity(), by=ann)).activity.id
    await house.activities.delete(one, by=ann)
    racing = replace(house.activities, repo=RestoredInBetween(house.store))
    await act(racing, one, ann)


async def test_the_trash_says_when_it_will_be_emptied(house: House):
    ann = await house.caller()
    kept = (await house.activities.create(a_new_activity(), by=ann)).activity
    house.clock.advance(timedelta(hours=3))
    await house.activities.delete(kept.id, by=ann)
    (trashed,) = (await house.activities.trash(Page(), by=ann)).items
    assert trashed.deleted_at == house.clock.now()
    assert trashed.purge_at == house.clock.now() + timedelta(days=30)


class TestAnswersFromTheDatabase:
    """They may say what somebody else's change made that is committed and whose process then died."""

    @pytest.fixture
    async def ann(self, house: House) -> Caller:
        return await house.caller()

    @pytest.fixture
    async def changed(self, house: House, ann: Caller) -> Activity:
        """By somebody whose process died; the copies are those from before."""
        kept = (await house.activities.create(a_new_activity(), by=ann)).activity
        assert (await house.activities.list(ActivityFilter(), Page(), by=ann)).value.items == (kept,)
        changed = replace(kept, version=2, title="theirs")
        assert await house.activities.repo.update(changed, messages=messages(activity_scope(kept.id)))
        assert (await house.activities.get(kept.id, by=ann)).value == kept
        return changed

    async def shown(self, house: House, ann: Caller, activity: Activity) -> None:
        assert (await house.activities.get(activity.id, by=ann)).value == activity
        assert (await house.activities.list(ActivityFilter(), Page(), by=ann)).value.items == (activity,)

    async def test_what_is_so_already_is_shown_to_who_reads_next(self, house: House, ann: Caller, changed: Activity):
        assert await house.activities.update(changed.id, {"title": "theirs"}, by=ann) == changed
        await self.shown(house, ann, changed)

    async def test_who_was_told_of_another_version_reads_that(self, house: House, ann: Caller, changed: Activity):
        with pytest.raises(VersionMismatch):
            await house.activities.update(changed.id, {"title": "ours"}, by=ann, versions=Versions(frozenset({1})))
        await self.shown(house, ann, changed)

    async def test_so_does_who_would_have_deleted_another_one(self, house: House, ann: Caller, changed: Activity):
        with pytest.raises(VersionMismatch):
            await house.activities.delete(changed.id, by=ann, versions=Versions(frozenset({1})))
        await self.shown(house, ann, changed)

    async def test_a_repeated_creation_is_in_the_next_list(self, house: House, ann: Caller):
        assert (await house.activities.list(ActivityFilter(), Page(), by=ann)).value.items == ()
        key, new = IdempotencyKey("once", "-"), an_activity(user_id=ann.id)
        first = (await house.activities.repo.add(new, messages=messages(user_scope(ann.id), idempotency=key))).activity
        again = await house.activities.create(a_new_activity(), by=ann, idempotency=key)
        assert (again.activity, again.replayed) == (first, True)
        assert (await house.activities.list(ActivityFilter(), Page(), by=ann)).value.items == (first,)


async def test_each_wrong_state_has_its_own_refusal(house: House):
    ann = await house.caller()
    kept = (await house.activities.create(a_new_activity(), by=ann)).activity
    with pytest.raises(ActivityNotInTrash):
        await house.activities.restore(kept.id, by=ann)
    with pytest.raises(VersionMismatch):
        await house.activities.delete(kept.id, by=ann, versions=Versions(frozenset()))
    await house.activities.delete(kept.id, by=ann)
    with pytest.raises(ActivityInTrash):
        await house.activities.get(kept.id, by=ann)
    with pytest.raises(ActivityInTrash):
        await house.activities.update(kept.id, {}, by=ann)
    with pytest.raises(ActivityInTrash):
        await house.activities.delete(kept.id, by=ann)
    with pytest.raises(ActivityNotFound):
        await house.activities.restore(kept.id, by=await house.caller())


async def test_an_import_keeps_every_session_in_the_zone_the_file_tells(house: House):
    ann = await house.caller()
    swim, run = (await house.imports.import_file(DUATHLON, by=ann)).activities
    assert (swim.timezone, run.timezone) == ("Europe/Paris", "+09:00")
    assert swim.external_id != run.external_id
    with pytest.raises(DuplicateActivity) as refusal:
        await house.imports.import_file(DUATHLON, by=ann)
    assert refusal.value.existing_id == swim.id


async def test_an_import_with_its_first_session_deleted_is_still_a_repetition(house: House):
    ann = await house.caller()
    swim, run = (await house.imports.import_file(DUATHLON, by=ann)).activities
    await house.activities.delete(swim.id, by=ann)
    with pytest.raises(DuplicateActivity) as refusal:
        await house.imports.import_file(DUATHLON, by=ann)
    assert refusal.value.existing_id == run.id
    assert (await house.activities.list(ActivityFilter(), Page(), by=ann)).value.total == 1


async def test_an_import_is_charged_for_what_it_makes_before_any_of_it_is_kept(house: House):
    ann = await house.caller()
    charged: list[int] = []

    async def charge(activities: int) -> None:
        charged.append(activities)
        raise Overloaded

    with pytest.raises(Overloaded):
        await house.imports.import_file(DUATHLON, by=ann, charge=charge)
    assert charged == [2]
    assert (await house.activities.list(ActivityFilter(), Page(), by=ann)).value.total == 0


class Slow(InMemoryOriginalRepo):
    """Keeps files once it is told to go on."""

    def __init__(self, store: InMemoryStore) -> None:
        super().__init__(store)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def add(self, activities: Sequence[Activity], numbers: Sequence[int], **given: Any) -> list[Activity]:
        self.asked.set()
        await self.go_on.wait()
        return await super().add(activities, numbers, **given)


async def test_an_import_whose_client_leaves_before_anything_is_kept_keeps_nothing(house: House):
    ann = await house.caller()
    charging = asyncio.Event()

    async def charge(_: int) -> None:
        charging.set()
        await asyncio.sleep(60)

    importing = asyncio.ensure_future(house.imports.import_file(DUATHLON, by=ann, charge=charge))
    await charging.wait()
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    assert (await house.activities.list(ActivityFilter(), Page(), by=ann)).value.total == 0
    assert len((await house.imports.import_file(DUATHLON, by=ann)).activities) == 2


async def test_an_import_whose_client_leaves_later_is_carried_out_and_seen(house: House):
    ann = await house.caller()
    assert (await house.activities.list(ActivityFilter(), Page(), by=ann)).value.total == 0
    repo = Slow(house.store)
    importing = asyncio.ensure_future(replace(house.imports, originals=repo).import_file(DUATHLON, by=ann))
    await repo.asked.wait()
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    repo.go_on.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert (await house.activities.list(ActivityFilter(), Page(), by=ann)).value.total == 2


async def test_authority_is_looked_up_each_time(house: House):
    ann, admin, _ = await house.caller(), await house.admin(), await house.admin()
    kept = (await house.activities.create(a_new_activity(), by=ann)).activity
    await house.activities.delete(kept.id, by=ann)
    await house.administration.set_standing(admin.id, role=Role.USER, by=admin)
    with pytest.raises(AdminOnly):
        await house.administration.purge(kept.id, reason="late", by=admin)
    assert (await house.activities.trash(Page(), by=ann)).total == 1


async def test_a_login_takes_the_right_password_and_nothing_else(house: House):
    registration = a_registration(email="ann@example.org")
    user = await house.accounts.register(registration)
    found = await house.accounts.login(normalized_email(" Ann@example.org"), registration.password, by=HERE)
    caller = house.accounts.sessions.access_tokens.verify(found.session.access.token)
    assert caller.id == user.id
    assert await house.accounts.me(caller) == user
    for email, password in (("ann@example.org", "wrong horse"), ("bob@example.org", registration.password)):
        with pytest.raises(BadCredentials):
            await house.accounts.login(normalized_email(email), password, by=HERE)


async def test_a_password_is_the_same_however_its_accents_are_typed(house: House):
    await house.accounts.register(a_registration(email="ann@example.org", password="Z\u00fcrich am See"))
    for typed in ("Z\u00fcrich am See", "Zu\u0308rich am See"):
        await house.accounts.login(normalized_email("ann@example.org"), typed, by=HERE)


async def test_a_password_that_was_hashed_before_it_was_composed_is_still_right(house: House):
    old = "Zu\u0308rich am See"
    password_hash = await house.accounts.passwords.hash(old)
    registration = a_registration(email="ann@example.org", password=old)
    await house.accounts.users.add(registration, password_hash=password_hash, at=house.clock.now())
    await house.accounts.login(normalized_email("ann@example.org"), old, by=HERE)
    with pytest.raises(BadCredentials):
        await house.accounts.login(normalized_email("ann@example.org"), "Zu\u0308rich", by=HERE)


@pytest.mark.parametrize(("password", "looks"), [("wrong horse", 1), ("Zu\u0308rich", 2)])
async def test_how_often_a_password_is_looked_at_depends_on_the_password_alone(house: House, password: str, looks: int):
    class Watched(InMemoryPasswordHasher):
        looked = 0

        async def verify(self, password: str, password_hash: str | None, *, known: bool = False) -> bool:
            self.looked += 1
            return await super().verify(password, password_hash, known=known)

    await house.accounts.register(a_registration(email="ann@example.org"))
    for email in ("ann@example.org", "nobody@example.org", "no address"):
        accounts = replace(house.accounts, passwords=(watched := Watched()))
        with pytest.raises(BadCredentials):
            await accounts.login(normalized_email(email), password, by=HERE)
        assert watched.looked == looks


class NoSessions(InMemorySessionStore):
    """A store that does none of it, for that reason."""

    def __init__(self, why: type[Outage]) -> None:
        super().__init__()
        self._why = why

    async def begin(self, session: Session) -> None:
        raise self._why

    async def list(self, user_id: int, *, at: datetime) -> Sequence[Session]:
        raise self._why

    async def end(self, user_id: int, session_id: str) -> None:
        raise self._why

    async def end_all(self, user_id: int, *, spared: str | None = None) -> None:
        raise self._why


@pytest.mark.parametrize("why", [SessionsUnavailable, Overloaded])
async def test_what_is_ended_is_ended_whatever_keeps_the_store_of_sessions(house: House, why: type[Outage]):
    address = normalized_email("ann@example.org")
    ann = await house.accounts.register(a_registration(email=address))
    sessions = replace(house.accounts.sessions, store=NoSessions(why))
    accounts = replace(house.accounts, sessions=sessions)

    async def logged_in() -> Caller:
        session = (await accounts.login(address, "correct horse", by=HERE)).session
        assert session.refresh is None
        house.clock.advance(timedelta(seconds=1))
        return sessions.access_tokens.verify(session.access.token)

    here, other, third = await logged_in(), await logged_in(), await logged_in()
    await sessions.logout(here)
    await sessions.revoke(other.session_id, by=third)
    standing = await sessions.standings.of(ann.id, at=house.clock.now())
    assert [standing.refuses(one) for one in (here, other, third)] == [True, True, False]
    await sessions.logout_all(third)
    assert (await sessions.standings.of(ann.id, at=house.clock.now())).refuses(third)
    await accounts.change_password("correct horse", "another horse", by=third)
    await accounts.delete_me("another horse", by=third)
    assert await accounts.users.get(ann.id) is None


class Busy(InMemoryPasswordHasher):
    """So many strangers wait that only who is known finds a place."""

    async def hash(self, password: str, *, known: bool = False) -> str:
        if not known:
            raise Overloaded
        return await super().hash(password)

    async def verify(self, password: str, password_hash: str | None, *, known: bool = False) -> bool:
        if not known:
            raise Overloaded
        return await super().verify(password, password_hash)


async def test_while_strangers_crowd_the_login_a_known_device_gets_in_and_others_are_told_to_come_back(house: House):
    address = normalized_email("ann@example.org")
    ann = await house.accounts.register(a_registration(email=address))
    await house.accounts.register(a_registration(email="bob@example.org"))
    device_token = (await house.accounts.login(address, "correct horse", by=HERE)).device_token
    known = replace(HERE, device=house.accounts.attempts.devices.verify(device_token))
    crowded = replace(house.accounts, passwords=Busy())
    await crowded.login(address, "correct horse", by=known)
    for account, by in [("ann@example.org", HERE), ("bob@example.org", known), ("nobody@example.org", HERE)]:
        with pytest.raises(Overloaded):
            await crowded.login(normalized_email(account), "correct horse", by=by)
    with pytest.raises(Overloaded):
        await crowded.register(a_registration(email="carl@example.org"))
    await crowded.change_password("correct horse", "another horse", by=Caller(ann.id, "session"))


async def test_a_token_that_outlived_its_account_opens_nothing(house: House):
    nobody = Caller(999, "session")
    with pytest.raises(NotAuthenticated):
        await house.accounts.me(nobody)
    with pytest.raises(NotAuthenticated):
        await house.activities.create(a_new_activity(), by=nobody)
    with pytest.raises(NotAuthenticated):
        await house.imports.import_file(DUATHLON, by=nobody)
