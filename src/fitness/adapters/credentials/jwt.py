"""Access tokens and device tokens as JSON Web Tokens."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from fitness.domain.model.logins import Device
from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import Caller, EmailAddress, account_name
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import ACCESS_TOKEN_TTL_S, DEVICE_TOKEN_TTL_S, AccessToken

ALGORITHM = "HS256"
ISSUER = "fitness"
AUDIENCE = "fitness-api"
DEVICE_AUDIENCE = "fitness-device"
REMEMBERED = 10_000
MAX_TOKEN_LENGTH = 2_000


class _Keys:
    """The first of `secret_keys` signs, each verifies. A new key is put in front once every process knows it."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self.all = {_key_id(key): key for key in secret_keys}
        self.signing_id = _key_id(secret_keys[0])
        self.signing = secret_keys[0]

    def signed(self, claims: dict[str, Any], audience: str) -> str:
        stated = {"iss": ISSUER, "aud": audience} | claims
        return jwt.encode(stated, self.signing, ALGORITHM, headers={"kid": self.signing_id})

    def claims(self, token: str, audience: str, required: Sequence[str]) -> dict[str, Any]:
        """Raises jwt.InvalidTokenError, KeyError, ValueError. The expiry is not checked: PyJWT would use the machine's
        clock, and ours is passed in.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise ValueError("too long")
        claims: dict[str, Any] = jwt.decode(
            token,
            self.all[str(jwt.get_unverified_header(token).get("kid"))],
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=audience,
            options={"require": ["iss", "aud", *required], "verify_exp": False, "verify_iat": False},
        )
        return claims


class JwtAccessTokens:
    """Remembers verified tokens: only a token's first use costs a signature check. The expiry is checked every time."""

    def __init__(self, secret_keys: Sequence[str], clock: ClockPort) -> None:
        self._keys = _Keys(secret_keys)
        self._clock = clock
        self._verified: OrderedDict[str, tuple[Caller, datetime]] = OrderedDict()

    def issue(self, caller: Caller) -> AccessToken:
        now = self._clock.now()
        claims = {
            "iat": now,
            "exp": now + timedelta(seconds=ACCESS_TOKEN_TTL_S),
            "sub": str(caller.id),
            "sid": caller.session_id,
            "auth_time": caller.logged_in_us / 1_000_000,
        }
        return AccessToken(self._keys.signed(claims, AUDIENCE), expires_in_s=ACCESS_TOKEN_TTL_S)

    def verify(self, token: str) -> Caller:
        remembered = self._verified.get(token)
        if remembered is None:
            remembered = self._checked(token)
            self._verified[token] = remembered
            if len(self._verified) > REMEMBERED:
                self._verified.popitem(last=False)
        caller, expires = remembered
        if self._clock.now() >= expires:
            self._verified.pop(token, None)
            raise NotAuthenticated("the access token has expired")
        return caller

    def _checked(self, token: str) -> tuple[Caller, datetime]:
        try:
            claims = self._keys.claims(token, AUDIENCE, ("exp", "sub", "sid"))
            # A token of an earlier version does not say when its session began: at the latest when it was issued.
            logged_in_s = float(claims.get("auth_time", claims.get("iat", 0)))
            expires = datetime.fromtimestamp(float(claims["exp"]), UTC)
            return Caller(int(claims["sub"]), str(claims["sid"]), round(logged_in_s * 1_000_000), expires), expires
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, OverflowError, OSError) as error:
            raise NotAuthenticated("the access token is invalid") from error


class JwtDeviceTokens:
    """Signed with the same keys as access tokens, for another audience, so that neither passes for the other."""

    def __init__(self, secret_keys: Sequence[str], clock: ClockPort) -> None:
        self._keys = _Keys(secret_keys)
        self._clock = clock

    def issue(self, account: EmailAddress, device_id: str) -> str:
        name = account_name(account, self._keys.signing.encode())
        return self._keys.signed({"iat": self._clock.now(), "sub": name, "jti": device_id}, DEVICE_AUDIENCE)

    def verify(self, token: str) -> Device | None:
        try:
            claims = self._keys.claims(token, DEVICE_AUDIENCE, ("iat", "sub", "jti"))
        except (jwt.InvalidTokenError, KeyError, ValueError):
            return None
        age_s = self._clock.now().timestamp() - float(claims["iat"])
        return Device(str(claims["jti"]), str(claims["sub"])) if age_s < DEVICE_TOKEN_TTL_S else None

    def belongs(self, device: Device, account: EmailAddress) -> bool:
        names = [account_name(account, key.encode()) for key in self._keys.all.values()]
        return device.account in names


def _key_id(key: str) -> str:
    return hashlib.sha256(b"key id of " + key.encode()).hexdigest()[:12]
