"""Access tokens and device tokens as JSON Web Tokens."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
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


class JwtAccessTokens:
    """Signed by the first of `secret_keys`, good if signed by any: put a new key in front to rotate.

    What was verified is remembered by the token's hash, so that only a token's first use costs a signature check; its
    expiry is checked every time.
    """

    def __init__(self, secret_keys: Sequence[str], clock: ClockPort) -> None:
        self._keys = {_key_id(key): key for key in secret_keys}
        self._signing_id = _key_id(secret_keys[0])
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    def issue(self, caller: Caller) -> AccessToken:
        now = self._clock.now()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + timedelta(seconds=ACCESS_TOKEN_TTL_S),
            "sub": str(caller.id),
            "sid": caller.session_id,
            "auth_time": caller.logged_in_us / 1_000_000,
        }
        key = self._keys[self._signing_id]
        return AccessToken(
            jwt.encode(claims, key, ALGORITHM, headers={"kid": self._signing_id}), expires_in_s=ACCESS_TOKEN_TTL_S
        )

    def verify(self, token: str) -> Caller:
        digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        remembered = self._verified.get(digest)
        if remembered is None:
            remembered = self._checked(token)
            self._verified[digest] = remembered
            if len(self._verified) > REMEMBERED:
                self._verified.popitem(last=False)
        caller, expires_s = remembered
        if self._clock.now().timestamp() >= expires_s:
            self._verified.pop(digest, None)
            raise NotAuthenticated("the access token has expired")
        return caller

    def _checked(self, token: str) -> tuple[Caller, float]:
        if len(token) > MAX_TOKEN_LENGTH:
            raise NotAuthenticated("the access token is invalid")
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                # Its own look at the expiry would be at the machine's clock; ours is passed in.
                options={"require": ["iss", "aud", "exp", "sub", "sid"], "verify_exp": False, "verify_iat": False},
            )
            # A token of the version before does not say when its session began; no later than it was issued.
            logged_in_s = float(claims.get("auth_time", claims.get("iat", 0)))
            caller = Caller(int(claims["sub"]), str(claims["sid"]), round(logged_in_s * 1_000_000))
            return caller, float(claims["exp"])
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, OverflowError) as error:
            raise NotAuthenticated("the access token is invalid") from error


class JwtDeviceTokens:
    """Signed with the same keys as access tokens, for another audience, so that neither passes for the other."""

    def __init__(self, secret_keys: Sequence[str], clock: ClockPort) -> None:
        self._keys = {_key_id(key): key for key in secret_keys}
        self._signing_id = _key_id(secret_keys[0])
        self._clock = clock

    def issue(self, account: EmailAddress, device_id: str) -> str:
        key = self._keys[self._signing_id]
        claims = {
            "iss": ISSUER,
            "aud": DEVICE_AUDIENCE,
            "iat": self._clock.now(),
            "sub": account_name(account, key.encode()),
            "jti": device_id,
        }
        return jwt.encode(claims, key, ALGORITHM, headers={"kid": self._signing_id})

    def verify(self, token: str) -> Device | None:
        if len(token) > MAX_TOKEN_LENGTH:
            return None
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=DEVICE_AUDIENCE,
                options={"require": ["iss", "aud", "iat", "sub", "jti"], "verify_iat": False},
            )
        except (jwt.InvalidTokenError, KeyError, ValueError):
            return None
        age_s = self._clock.now().timestamp() - float(claims["iat"])
        return Device(str(claims["jti"]), str(claims["sub"])) if age_s < DEVICE_TOKEN_TTL_S else None

    def belongs(self, device: Device, account: EmailAddress) -> bool:
        names = [account_name(account, key.encode()) for key in self._keys.values()]
        return device.account in names


def _key_id(key: str) -> str:
    return hashlib.sha256(b"key id of " + key.encode()).hexdigest()[:12]
