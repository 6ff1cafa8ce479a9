"""Who may have a password checked, and when: a stranger's guesses must not keep the owner of an account out.

Every login is first charged to `requests` of its address. Once its body has been read, it is charged to the logins of
its address and of its account, to all or none. The allowance of the account depends on where the login comes from:

- A device that has logged in to the account before sends its token back. It is charged to an allowance of its own,
  instead of address and account, and is never delayed. So nobody else can use up its allowance.
- A network from which somebody has logged in to the account lately has an allowance of its own, and is never delayed.
- All others are strangers, who share one allowance for the account. Failures in a row delay their network; a delayed
  attempt is not charged to the account. Strangers from a neighbourhood in which somebody has failed already may use up
  only a part of the allowance, so that an owner who comes from elsewhere finds the rest.
"""

import hashlib
import hmac
import math
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta

from fitness.domain.model.logins import Guess, login_delay, networks_of
from fitness.domain.model.rate_limits import Action, Decision, RateLimited, Unjudged, together
from fitness.domain.model.refusals import LoginDelayed
from fitness.domain.model.users import EmailAddress, account_name
from fitness.domain.use_cases.limiting import LimitService
from fitness.domain.use_cases.requesters import Requester
from fitness.ports.clock import ClockPort
from fitness.ports.credentials import DeviceTokenPort
from fitness.ports.logins import LoginHistoryPort


@dataclass(frozen=True, slots=True)
class LoginAttempts:
    """Accounts and networks are counted under hashes that are keyed with `secret` and give no address away."""

    history: LoginHistoryPort
    limits: LimitService
    devices: DeviceTokenPort
    clock: ClockPort
    secret: bytes

    async def admit(self, account: EmailAddress | None, who: Requester) -> Decision | None:
        """Charge a login that has been charged as LOGIN already. None if there is nothing more to charge.

        `account` is None if the body names no account. Raises LoginDelayed and RateLimited; the wait that either names
        is long enough for LOGIN, too.
        """
        if account is not None and self.is_own(account, who):
            return None
        at_the_door: Decision | Unjudged | None = None
        if who.device is not None:  # known to another account, so that its holder is a stranger here
            who = replace(who, device=None)
            at_the_door = await self.limits.admit(Action.LOGIN, who)
        if account is not None:
            who = replace(who, guess=await self._guess(account, who))
        try:
            decision = await self.limits.admit(Action.GUESS, who)
        except RateLimited as refusal:
            again = await self.limits.before_another(Action.LOGIN, who)
            raise RateLimited(together(again, refusal.decision) or refusal.decision) from refusal
        assert not isinstance(at_the_door, Unjudged)  # without the shared limiter, logins are judged locally
        assert not isinstance(decision, Unjudged)
        return together(at_the_door, decision)

    async def failed(self, account: EmailAddress, who: Requester) -> None:
        """Note a wrong password. Nothing is noted for known devices and networks: only their allowance limits them."""
        if self.is_own(account, who):
            return
        name, (network, neighbourhood), now = self._account(account), self._networks(who), self.clock.now()
        (here,) = await self.history.of(name, [network], at=now)
        if not here.known:
            await self.history.add_failure(name, [network, neighbourhood], at=now)

    async def succeeded(self, account: EmailAddress, who: Requester) -> str:
        """Note the right password. From now on the device is known, by the token that is returned.

        The network becomes known, too, unless the device was known already: then it may be a café's network, from which
        others guess.
        """
        if who.device is not None and self.is_own(account, who):
            return self.devices.issue(account, who.device.id)
        network, neighbourhood = self._networks(who)
        name = self._account(account)
        await self.history.add_success(name, network, within=[neighbourhood], at=self.clock.now())
        return self.devices.issue(account, secrets.token_hex(8))

    def is_own(self, account: EmailAddress, who: Requester) -> bool:
        """Whether the login comes from a device that has logged in to the account before."""
        return who.device is not None and self.devices.belongs(who.device, account)

    async def _guess(self, account: EmailAddress, who: Requester) -> Guess:
        """Raises LoginDelayed."""
        name, (network, neighbourhood), now = self._account(account), self._networks(who), self.clock.now()
        here, around = await self.history.of(name, [network, neighbourhood], at=now)
        if not here.known and here.failed_at is not None:
            wait = login_delay(here.failures) - (now - here.failed_at)
            if wait > timedelta():
                again = await self.limits.before_another(Action.LOGIN, who)
                raise LoginDelayed(max(math.ceil(wait.total_seconds()), again.retry_after_s if again else 0))
        return Guess(name, network if here.known else None, repeated=around.failures > 0)

    def _account(self, account: EmailAddress) -> str:
        return account_name(account, self.secret)

    def _networks(self, who: Requester) -> tuple[str, str]:
        network, neighbourhood = (
            hmac.new(self.secret, f"network {one}".encode(), hashlib.sha256).hexdigest()[:16]
            for one in networks_of(who.address)
        )
        return network, neighbourhood
