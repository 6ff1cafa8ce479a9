"""What this process has seen of accounts: the standing of each, and the reads that are asked for under it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from fitness.domain.model.rate_limits import Action, Charge, Decision
from fitness.domain.model.users import Standing, Tier
from fitness.domain.use_cases.caching.keys import standing_key
from fitness.ports.cache import Peeked
from fitness.ports.reply import Reply


class Seen:
    """An account's standing as this process saw it last, and what each action is charged under that standing.

    All of it is charged to the account: no policy counts a logged-in caller by address.
    """

    __slots__ = ("_charges", "_of", "key", "standing", "text", "tier")

    def __init__(
        self, user_id: int, standing: Standing, tier: Tier, charges: Callable[[Action], tuple[Charge, ...]]
    ) -> None:
        self.standing = standing
        self.tier = tier
        self.key = standing_key(user_id)
        self.text = json.dumps(asdict(standing), separators=(",", ":")).encode()
        """The standing in the form in which the cache keeps it."""
        self._of = charges
        self._charges: dict[Action, tuple[Charge, ...]] = {}

    def charges(self, action: Action) -> tuple[Charge, ...]:
        """The charges of the action: the same tuple each time, so that a limiter can keep what it made of the tuple."""
        if action not in self._charges:
            self._charges[action] = self._of(action)
        return self._charges[action]


class ReadAsked:
    """A read for which limits, standing and cache have been asked."""

    __slots__ = ("_callback", "decided", "peeked", "seen")

    def __init__(self, seen: Seen, decided: Reply[Decision], peeked: Reply[Sequence[Peeked]]) -> None:
        self.seen = seen
        self.decided = decided
        self.peeked = peeked

    def when_done(self, callback: Callable[[object], None]) -> None:
        """Call `callback` once both stores have replied, or failed."""
        self._callback = callback
        self.decided.when_done(self._is_decided)

    def abandon(self) -> None:
        self.decided.abandon()
        self.peeked.abandon()

    def _is_decided(self, _: object) -> None:
        self.peeked.when_done(self._callback)
