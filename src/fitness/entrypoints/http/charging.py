"""Charging requests to their limits, and what every response says of them."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from litestar.types import Scope

from fitness.domain.model.rate_limits import Action, Decision, RateLimited, Unjudged
from fitness.domain.use_cases.limiting import LimitService, Requester
from fitness.entrypoints.http.addresses import Network, client_address

RESPONSE_HEADERS = "fitness.response_headers"
"""The scope's key for headers that are added to the response, whatever answers the request."""

CHARGED = "fitness.charged"
"""The scope's key that stands in the scope of a request once it is charged."""

ADMITTED = "fitness.admitted"
"""The scope's key for the decision on the request."""

LIMIT_HEADERS = (b"x-ratelimit-", b"ratelimit")
"""What the names of all headers about limits begin with."""

UNMATCHED = "unmatched"
"""In place of a route, for a request that none matches."""

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
        if CHARGED in scope:
            return
        await self._tell(self._limits.admit(action, requester), requester, scope)

    async def charge_rest(self, action: Action, requester: Requester, scope: Scope, *, cost: int) -> None:
        """For a request that was charged as 1 and turns out to make so much. Raises RateLimited."""
        await self._tell(
            self._limits.admit_rest(action, requester, scope.get(ADMITTED), cost=cost),  # type: ignore[arg-type]
            requester,
            scope,
        )

    async def _tell(
        self, judging: Coroutine[Any, Any, Decision | Unjudged | None], requester: Requester, scope: Scope
    ) -> None:
        try:
            decision = await judging
        except RateLimited as refusal:
            self._say(refusal.decision, scope)
            self._on_denied(refusal.decision, scope.get("path_template", UNMATCHED), requester)
            raise
        scope[ADMITTED] = decision  # type: ignore[literal-required]
        if decision is not None:
            self._say(decision, scope)

    def _say(self, decision: Decision | Unjudged, scope: Scope) -> None:
        """In place of what was said of the request before."""
        headers: list[tuple[bytes, bytes]] = scope[RESPONSE_HEADERS]  # type: ignore[literal-required]
        headers[:] = [header for header in headers if not header[0].startswith(LIMIT_HEADERS)]
        headers += self._headers(decision)

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
