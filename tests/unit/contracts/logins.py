"""What every FailedLoginsPort promises."""

import asyncio
from datetime import timedelta

from fitness.ports.logins import FORGOTTEN_AFTER, FailedLogins, FailedLoginsPort
from tests.builders import NOW

MOMENT = timedelta(microseconds=1)


class FailedLoginsContract:
    """An implementation's class gives the fixture `failed_logins`, empty for each test."""

    async def test_failures_add_up_until_a_success(self, failed_logins: FailedLoginsPort):
        assert await failed_logins.of("ann") is None
        await failed_logins.add("ann", at=NOW)
        await failed_logins.add("ann", at=NOW + MOMENT)
        assert await failed_logins.of("ann") == FailedLogins(2, NOW + MOMENT)
        await failed_logins.clear("ann")
        assert await failed_logins.of("ann") is None

    async def test_each_account_has_its_own(self, failed_logins: FailedLoginsPort):
        await failed_logins.add("ann", at=NOW)
        await failed_logins.add("bob", at=NOW)
        await failed_logins.clear("ann")
        assert await failed_logins.of("bob") == FailedLogins(1, NOW)

    async def test_after_a_day_without_any_the_count_begins_anew(self, failed_logins: FailedLoginsPort):
        await failed_logins.add("ann", at=NOW)
        await failed_logins.add("ann", at=NOW + FORGOTTEN_AFTER - MOMENT)
        await failed_logins.add("ann", at=NOW + 2 * FORGOTTEN_AFTER - 2 * MOMENT)
        assert await failed_logins.of("ann") == FailedLogins(3, NOW + 2 * FORGOTTEN_AFTER - 2 * MOMENT)
        last = NOW + 3 * FORGOTTEN_AFTER - 2 * MOMENT
        await failed_logins.add("ann", at=last)
        assert await failed_logins.of("ann") == FailedLogins(1, last)

    async def test_none_of_many_at_once_is_missed(self, failed_logins: FailedLoginsPort):
        await asyncio.gather(*(failed_logins.add("ann", at=NOW) for _ in range(20)))
        assert await failed_logins.of("ann") == FailedLogins(20, NOW)
