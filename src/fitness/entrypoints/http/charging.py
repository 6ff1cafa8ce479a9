"""Charging requests to their limits, and what every response says of them."""

from collections.abc import Callable, Iterable

from litestar.types import Scope

from fitness.domain.model.rate_limits import Action, Decision, RateLimited, Unjudged
from fitness.domain.use_cases.limiting import LimitService, Requester
from fitness.entrypoints.http.addresses import Network, client_address
from fitness.entrypoints.http.arrived import ARRIVED, UNMATCHED, Arrived

OnDenied = Callable[[Decision, str, Requester], None]


class Charging:
    """`on_denied` is called with each refusal, its route and who asked."""

    def __init__(
        self,
        limits: LimitService,
        trusted_proxies: Iterable[Network],
        headers: Callable[[Decision | Unjudged], Iterable[tuple[bytes, bytes]]],
        on_denied: OnDenied,
    ) -> None:
        self._limits = limits
        self._trusted_proxies = tuple(trusted_proxies)
        self._headers = headers
        self._on_denied = on_denied

    async def charge(self, action: Action, requester: Requester, scope: Scope) -> None:
        """Leaves the limits' headers in the scope. Raises RateLimited, LimiterUnavailable."""
        arrived: Arrived = scope[ARRIVED]  # type: ignore[literal-required]
        if arrived.charged:
            return
        try:
            decision = await self._limits.admit(action, requester)
        except RateLimited as refusal:
            arrived.answer_headers += self._headers(refusal.decision)
            self._on_denied(refusal.decision, scope.get("path_template", UNMATCHED), requester)
            raise
        if decision is not None:
            arrived.answer_headers += self._headers(decision)

    async def charge_unmatched(self, scope: Scope) -> None:
        """A request that no route matches is charged to its address, as any other request without a token."""
        await self.charge(Action.OTHER, Requester(self.address(scope)), scope)

    def address(self, scope: Scope) -> str:
        """Under which the client's requests are counted together."""
        client = scope["client"]
        forwarded_for: list[str] = []
        if self._trusted_proxies:
            forwarded_for = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return client_address(client[0] if client else None, forwarded_for, self._trusted_proxies)
