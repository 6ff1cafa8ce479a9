"""What every PasswordHasherPort, AccessTokenPort and DeviceTokenPort promise."""

import asyncio
from datetime import timedelta

import pytest

from fitness.adapters.memory.clock import ManualClock
from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import Caller, EmailAddress
from fitness.ports.credentials import (
    ACCESS_TOKEN_TTL_S,
    DEVICE_TOKEN_TTL_S,
    AccessTokenPort,
    DeviceTokenPort,
    PasswordHasherPort,
)


class PasswordHasherContract:
    """An implementation's class gives the fixture `hasher`."""

    async def test_a_password_belongs_to_its_hash_alone(self, hasher: PasswordHasherPort):
        kept = await hasher.hash("correct horse")
        assert await hasher.verify("correct horse", kept)
        assert not await hasher.verify("correct horse ", kept)
        assert not await hasher.verify("", kept)

    async def test_a_hash_is_never_the_same_twice_and_does_not_show_the_password(self, hasher: PasswordHasherPort):
        first, second = await asyncio.gather(hasher.hash("correct horse"), hasher.hash("correct horse"))
        assert first != second
        assert "correct horse" not in first

    async def test_nothing_belongs_to_no_hash_or_to_rubbish(self, hasher: PasswordHasherPort):
        assert not await hasher.verify("correct horse", None)
        assert not await hasher.verify("", None)
        assert not await hasher.verify("correct horse", "rubbish")

    async def test_who_is_known_is_answered_as_anybody(self, hasher: PasswordHasherPort):
        kept = await hasher.hash("correct horse", known=True)
        assert await hasher.verify("correct horse", kept, known=True)
        assert await hasher.verify("correct horse", kept)
        assert not await hasher.verify("wrong horse", kept, known=True)


class AccessTokenContract:
    """An implementation's class gives the fixture `tokens`, on the fixture `clock`."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    def test_a_token_says_whom_it_was_issued_to(self, tokens: AccessTokenPort):
        caller = Caller(42, "session")
        issued = tokens.issue(caller)
        assert issued.expires_in_s == ACCESS_TOKEN_TTL_S
        assert tokens.verify(issued.token) == caller
        assert tokens.verify(issued.token) == caller

    def test_a_token_says_to_the_microsecond_when_its_session_began(self, tokens: AccessTokenPort):
        caller = Caller(42, "session", 1_795_000_000_123_457)
        assert tokens.verify(tokens.issue(caller).token) == caller

    def test_a_token_expires_even_where_it_was_seen_before(self, tokens: AccessTokenPort, clock: ManualClock):
        issued = tokens.issue(Caller(42, "session"))
        clock.advance(timedelta(seconds=ACCESS_TOKEN_TTL_S - 1))
        assert tokens.verify(issued.token) == Caller(42, "session")
        clock.advance(timedelta(seconds=1))
        for _ in range(2):
            with pytest.raises(NotAuthenticated):
                tokens.verify(issued.token)

    def test_a_token_says_when_it_expires(self, tokens: AccessTokenPort, clock: ManualClock):
        issued = tokens.issue(Caller(42, "session"))
        assert tokens.verify(issued.token).until == clock.now() + timedelta(seconds=ACCESS_TOKEN_TTL_S)

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "\udcff", "ﾄｰｸﾝ", "e30.e30.e30", "x" * 100_000])
    def test_what_was_never_issued_is_refused(self, tokens: AccessTokenPort, token: str):
        with pytest.raises(NotAuthenticated):
            tokens.verify(token)

    def test_a_token_that_was_tampered_with_is_refused(self, tokens: AccessTokenPort):
        token = tokens.issue(Caller(42, "session")).token
        for place in range(0, len(token) - 1, 7):  # the very last character may hold unused bits
            other = "A" if token[place] != "A" else "B"
            with pytest.raises(NotAuthenticated):
                tokens.verify(token[:place] + other + token[place + 1 :])


ANN, BOB = EmailAddress("ann@example.org"), EmailAddress("bob@example.org")


class DeviceTokenContract:
    """An implementation's class gives the fixture `devices`, on the fixture `clock`."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    def test_a_token_names_its_device_and_belongs_to_its_account_alone(self, devices: DeviceTokenPort):
        device = devices.verify(devices.issue(ANN, "phone"))
        assert device is not None
        assert device.id == "phone"
        assert devices.belongs(device, ANN)
        assert not devices.belongs(device, BOB)

    def test_devices_of_one_account_are_counted_as_one_account_and_several_devices(self, devices: DeviceTokenPort):
        phone, laptop, bobs = (
            devices.verify(devices.issue(account, name)) for account, name in [(ANN, "a"), (ANN, "b"), (BOB, "a")]
        )
        assert phone is not None
        assert laptop is not None
        assert bobs is not None
        assert (phone.account == laptop.account, phone.id == laptop.id) == (True, False)
        assert phone.account != bobs.account

    def test_a_token_is_good_for_a_year(self, devices: DeviceTokenPort, clock: ManualClock):
        token = devices.issue(ANN, "phone")
        clock.advance(timedelta(seconds=DEVICE_TOKEN_TTL_S - 1))
        assert devices.verify(token) is not None
        clock.advance(timedelta(seconds=1))
        assert devices.verify(token) is None

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "\udcff", "ﾄｰｸﾝ", "e30.e30.e30", "x" * 100_000])
    def test_what_was_never_issued_names_no_device(self, devices: DeviceTokenPort, token: str):
        assert devices.verify(token) is None

    def test_a_token_that_was_tampered_with_names_no_device(self, devices: DeviceTokenPort):
        token = devices.issue(ANN, "phone")
        for place in range(0, len(token) - 1, 7):  # the very last character may hold unused bits
            other = "A" if token[place] != "A" else "B"
            assert devices.verify(token[:place] + other + token[place + 1 :]) is None
