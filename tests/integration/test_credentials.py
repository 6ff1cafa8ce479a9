"""Argon2 and JSON Web Tokens under the contracts of their ports, and what is theirs alone."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from statistics import median

import jwt
import pytest
from argon2 import PasswordHasher

from fitness.adapters.credentials.argon2 import MOST_OF_KNOWN, MOST_OF_STRANGERS, Argon2PasswordHasher
from fitness.adapters.credentials.exports import HmacExportTokens
from fitness.adapters.credentials.jwt import JwtAccessTokens, JwtDeviceTokens
from fitness.adapters.credentials.refresh import HmacRefreshTokens
from fitness.adapters.credentials.reset import HmacResetTokens
from fitness.adapters.memory.clock import ManualClock
from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import Caller, EmailAddress
from fitness.ports.credentials import AccessTokenPort, DeviceTokenPort, PasswordHasherPort
from fitness.ports.outages import Overloaded
from fitness.ports.sessions import RefreshTokenPort
from tests.builders import NOW
from tests.unit.contracts.credentials import AccessTokenContract, DeviceTokenContract, PasswordHasherContract
from tests.unit.contracts.sessions import CLAIM, RefreshTokenContract

OLD, NEW = "o" * 32, "n" * 32
STEPS = [OLD], [OLD, NEW], [NEW, OLD], [NEW]
"""The keys while they are changed; replicas of two steps that follow each other run side by side."""
CALLER = Caller(42, "session")
ANN = EmailAddress("ann@example.org")


class TestArgon2PasswordHasher(PasswordHasherContract):
    @pytest.fixture
    def hasher(self) -> Iterator[PasswordHasherPort]:
        hasher = Argon2PasswordHasher()
        yield hasher
        hasher.close()

    async def test_it_is_argon2id_as_the_design_sets_it(self, hasher: PasswordHasherPort):
        assert (await hasher.hash("correct horse")).startswith("$argon2id$v=19$m=19456,t=2,p=1$")

    async def test_the_event_loop_runs_on_while_it_works(self, hasher: PasswordHasherPort):
        turns = 0
        hashing = asyncio.gather(*(hasher.hash("correct horse") for _ in range(6)))
        while not hashing.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 100

    async def test_too_many_who_wait_are_refused_and_strangers_take_no_place_of_the_known(self):
        hasher = Argon2PasswordHasher(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        # All begin before any ends: gather's tasks take their first step in one turn of the loop.
        strangers = [hasher.verify("x", None) for _ in range(MOST_OF_STRANGERS + 5)]
        known = [hasher.verify("x", None, known=True) for _ in range(MOST_OF_KNOWN + 3)]
        found = await asyncio.gather(*strangers, *known, return_exceptions=True)
        admitted = [*([True] * MOST_OF_STRANGERS + [False] * 5), *([True] * MOST_OF_KNOWN + [False] * 3)]
        assert [not isinstance(one, Overloaded) for one in found] == admitted
        assert not await hasher.verify("x", None)
        hasher.close()

    async def test_who_gives_up_waiting_leaves_the_place(self):
        hasher = Argon2PasswordHasher(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        for _ in range(2):
            waiting = [asyncio.ensure_future(hasher.hash("x")) for _ in range(MOST_OF_STRANGERS)]
            await asyncio.sleep(0)
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        assert not await hasher.verify("x", None)
        hasher.close()

    async def test_no_hash_costs_the_same_time_as_a_wrong_password(self, hasher: PasswordHasherPort):
        kept = await hasher.hash("correct horse")
        spent: dict[str | None, list[float]] = {kept: [], None: []}
        for _ in range(9):
            for against, times in spent.items():
                started = time.process_time()  # whatever else the machine does meanwhile
                await hasher.verify("wrong", against)
                times.append(time.process_time() - started)
        assert 0.5 < median(spent[None]) / median(spent[kept]) < 2


class TestJwtAccessTokens(AccessTokenContract):
    @pytest.fixture
    def tokens(self, clock: ManualClock) -> AccessTokenPort:
        return JwtAccessTokens([OLD], clock)

    def test_it_carries_the_claims_of_the_design_and_neither_tier_nor_role(self, tokens: AccessTokenPort):
        claims = jwt.decode(tokens.issue(CALLER).token, options={"verify_signature": False})
        assert claims.keys() == {"iss", "aud", "iat", "exp", "sub", "sid", "auth_time"}
        assert (claims["sub"], claims["sid"]) == ("42", "session")

    def test_keys_rotate_without_anybody_noticing(self, clock: ManualClock):
        steps = [JwtAccessTokens(keys, clock) for keys in STEPS]
        for here, there in pairwise(steps):  # replicas, of which one was restarted already
            assert here.verify(there.issue(CALLER).token) == there.verify(here.issue(CALLER).token) == CALLER
        with pytest.raises(NotAuthenticated):
            steps[-1].verify(steps[0].issue(CALLER).token)

    @pytest.mark.parametrize(
        "change", [{"iss": "else"}, {"aud": "else"}, {"sub": None}, {"sid": None}, {"exp": None}, {"sub": "x"}]
    )
    def test_a_signed_token_that_is_not_ours_is_refused(self, tokens: AccessTokenPort, change: dict[str, str | None]):
        token = tokens.issue(CALLER).token
        claims = jwt.decode(token, options={"verify_signature": False}) | change
        kept = {name: value for name, value in claims.items() if value is not None}
        forged = jwt.encode(kept, OLD, "HS256", headers={"kid": jwt.get_unverified_header(token)["kid"]})
        with pytest.raises(NotAuthenticated):
            tokens.verify(forged)

    @pytest.mark.parametrize("algorithm", ["none", "HS512"])
    def test_another_algorithm_is_refused(self, tokens: AccessTokenPort, algorithm: str):
        token = tokens.issue(CALLER).token
        claims = jwt.decode(token, options={"verify_signature": False})
        secret = None if algorithm == "none" else OLD * 2
        forged = jwt.encode(claims, secret, algorithm, headers={"kid": jwt.get_unverified_header(token)["kid"]})
        with pytest.raises(NotAuthenticated):
            tokens.verify(forged)


class TestHmacRefreshTokens(RefreshTokenContract):
    @pytest.fixture
    def refresh_tokens(self) -> RefreshTokenPort:
        return HmacRefreshTokens([OLD])

    def test_a_key_goes_on_being_good_until_it_is_taken_away(self):
        before, added, rotated, after = (HmacRefreshTokens(keys) for keys in STEPS)
        old, new = before.issue(CLAIM), rotated.issue(CLAIM)
        assert added.issue(CLAIM) == old
        for one in (added, rotated):
            assert one.verify(old) == one.verify(new) == CLAIM
        assert (before.verify(new), after.verify(new), after.verify(old)) == (None, CLAIM, None)


class TestHmacResetTokens:
    def test_a_token_is_good_for_its_account_and_hash_until_its_end(self):
        tokens, until = HmacResetTokens([OLD]), NOW + timedelta(hours=1)
        token = tokens.issue(7, "hash", until=until)
        assert tokens.user_of(token) == 7
        assert tokens.verify(token, "hash", at=until - timedelta(microseconds=1))
        assert not tokens.verify(token, "hash", at=until)
        assert not tokens.verify(token, "another", at=NOW)
        assert HmacResetTokens([NEW, OLD]).verify(token, "hash", at=NOW)
        assert not HmacResetTokens([NEW]).verify(token, "hash", at=NOW)

    def test_no_other_token_is_good(self):
        tokens = HmacResetTokens([OLD])
        token = tokens.issue(7, "hash", until=NOW)
        changed = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]
        for other in (*changed, "", "A", token[:-1], token + "A", "ü" * len(token), "\ud800", "=" * len(token)):
            assert not tokens.verify(other, "hash", at=NOW - timedelta(hours=1))


class TestJwtDeviceTokens(DeviceTokenContract):
    @pytest.fixture
    def devices(self, clock: ManualClock) -> DeviceTokenPort:
        return JwtDeviceTokens([OLD], clock)

    def test_it_gives_no_address_away(self, devices: DeviceTokenPort):
        claims = jwt.decode(devices.issue(ANN, "phone"), options={"verify_signature": False})
        assert claims.keys() == {"iss", "aud", "iat", "sub", "jti"}
        assert "ann" not in claims["sub"]

    def test_it_outlives_the_change_of_keys_and_goes_with_its_key(self, clock: ManualClock):
        steps = [JwtDeviceTokens(keys, clock) for keys in STEPS]
        for here, there in [*pairwise(steps), *pairwise(reversed(steps))]:
            device = here.verify(there.issue(ANN, "phone"))
            assert device is not None
            assert here.belongs(device, ANN)
        assert steps[-1].verify(steps[0].issue(ANN, "phone")) is None

    def test_neither_kind_of_token_passes_for_the_other(self, devices: DeviceTokenPort, clock: ManualClock):
        tokens = JwtAccessTokens([OLD], clock)
        with pytest.raises(NotAuthenticated):
            tokens.verify(devices.issue(ANN, "phone"))
        assert devices.verify(tokens.issue(CALLER).token) is None


class TestHmacExportTokens:
    def test_a_token_is_its_exports_under_any_key_that_is_kept(self):
        token = HmacExportTokens([OLD]).issue(7)
        assert HmacExportTokens([OLD]).export_of(token) == 7
        assert HmacExportTokens([NEW, OLD]).export_of(token) == 7
        assert HmacExportTokens([NEW]).export_of(token) is None

    def test_no_other_token_is_good(self):
        tokens = HmacExportTokens([OLD])
        token = tokens.issue(7)
        changed = [token[:at] + ("a" if token[at] != "a" else "b") + token[at + 1 :] for at in range(len(token))]
        for other in (*changed, "", token[:-1], token + "a", token.upper(), "ü" * len(token), "\ud800"):
            assert tokens.export_of(other) is None
