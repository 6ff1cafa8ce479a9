"""Charges requests to their rate limits, and adds the limits' headers to every response."""

from collections.abc import Awaitable, Callable, Iterable

from litestar.types import Scope

from fitness.domain.model.rate_limits import Action, Decision, RateLimited, Unjudged, together
from fitness.domain.model.refusals import NotAuthenticated
from fitness.domain.model.users import EmailAddress
from fitness.domain.use_cases.limiting import LimitService
from fitness.domain.use_cases.logins import LoginAttempts
from fitness.domain.use_cases.requesters import Requester
from fitness.entrypoints.http.addresses import Network, client_address
from fitness.entrypoints.http.arrived import ARRIVED, UNMATCHED, Arrived
from fitness.ports.outages import LimiterUnavailable

LIMIT_HEADERS = (b"x-ratelimit-", b"ratelimit")
"""The names of all rate limit headers begin with one of these."""

OnDenied = Callable[[Decision, str, Requester], None]


class Charging:
    """`on_denied` is called with each denied decision, its route and the requester."""

    def __init__(
        self,
        limits: LimitService,
        attempts: LoginAttempts,
        trusted_proxies: Iterable[Network],
        headers: Callable[[Decision | Unjudged], Iterable[tuple[bytes, bytes]]],
        on_denied: OnDenied,
    ) -> None:
        self._limits = limits
        self._attempts = attempts
        self._trusted_proxies = tuple(trusted_proxies)
        self._headers = headers
        self._on_denied = on_denied

    async def charge(self, action: Action, requester: Requester, scope: Scope) -> None:
        """Leaves the limits' headers in the scope. Raises RateLimited, LimiterUnavailable.

        Raises NotAuthenticated where the caller's account is gone; the request is then charged to its address.
        """
        arrived: Arrived = scope[ARRIVED]  # type: ignore[literal-required]
        if arrived.charged:
            return
        try:
            await self._told(self._judged(action, requester, arrived), requester, scope)
        except NotAuthenticated:
            await self.charge(Action.OTHER, Requester(requester.address), scope)
            raise

    async def _judged(self, action: Action, requester: Requester, arrived: Arrived) -> Decision | Unjudged | None:
        failure, arrived.failure = arrived.failure, None
        if isinstance(failure, LimiterUnavailable):
            return await self._limits.admit_without_limiter(action, requester)
        if failure is not None:
            raise failure
        return await self._limits.admit(action, requester)

    async def charge_guess(self, account: EmailAddress | None, requester: Requester, scope: Scope) -> None:
        """Charge a login whose body was read. `account` is None if it names none. Raises LoginDelayed, RateLimited."""
        await self._told(self._attempts.admit(account, requester), requester, scope)

    async def charge_rest(self, action: Action, requester: Requester, scope: Scope, *, cost: int) -> None:
        """Charge the rest of a request that was charged as 1 and turns out to cost `cost`. Raises RateLimited.

        The headers of this decision replace those of the first one.
        """
        arrived: Arrived = scope[ARRIVED]  # type: ignore[literal-required]
        admitted, arrived.decided = arrived.decided, None
        try:
            await self._told(self._limits.admit_rest(action, requester, admitted, cost=cost), requester, scope)
        finally:
            arrived.decided = arrived.decided or admitted  # if the limiter did not answer, what it said before holds

    async def _told(self, judged: Awaitable[Decision | Unjudged | None], requester: Requester, scope: Scope) -> None:
        """Add the decision to the response's headers, beside earlier decisions on other policies."""
        try:
            decision = await judged
        except RateLimited as refusal:
            self._on_denied(refusal.decision, scope.get("path_template", UNMATCHED), requester)
            self._tell(refusal.decision, scope)
            raise
        if decision is not None:
            self._tell(decision, scope)

    def _tell(self, decision: Decision | Unjudged, scope: Scope) -> None:
        arrived: Arrived = scope[ARRIVED]  # type: ignore[literal-required]
        if isinstance(decision, Decision):
            decision = arrived.decided = together(arrived.decided, decision) or decision
        headers = [*self._headers(decision)]
        others = (header for header in arrived.answer_headers if not header[0].startswith(LIMIT_HEADERS))
        arrived.answer_headers = [*others, *headers]

    async def charge_unmatched(self, scope: Scope) -> None:
        """A request that no route matches is charged to its address, as any other request without a token."""
        await self.charge(Action.OTHER, Requester(self.address(scope)), scope)

    def address(self, scope: Scope) -> str:
        """The address that the client's requests are counted under."""
        client = scope["client"]
        forwarded_for: list[str] = []
        if self._trusted_proxies:
            forwarded_for = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return client_address(client[0] if client else None, forwarded_for, self._trusted_proxies)
