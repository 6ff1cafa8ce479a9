"""What every LoginHistoryPort promises."""

import asyncio
from datetime import timedelta

from fitness.ports.logins import FORGOTTEN_AFTER, KNOWN_FOR, LoginHistoryPort, LoginsFrom
from tests.builders import NOW

MOMENT = timedelta(microseconds=1)
HERE, THERE, AROUND = "here", "there", "around both"


class LoginHistoryContract:
    """An implementation's class gives the fixture `logins`, empty for each test."""

    async def test_of_an_account_that_nobody_tried_there_is_nothing(self, logins: LoginHistoryPort):
        assert await logins.of("ann", [HERE, THERE], at=NOW) == [LoginsFrom(), LoginsFrom()]

    async def test_failures_add_up_in_each_network_until_a_success_there(self, logins: LoginHistoryPort):
        await logins.add_failure("ann", [HERE, AROUND], at=NOW)
        await logins.add_failure("ann", [AROUND, HERE], at=NOW + MOMENT)
        await logins.add_failure("ann", [THERE, AROUND], at=NOW + 2 * MOMENT)
        assert await logins.of("ann", [AROUND, HERE, THERE], at=NOW + 3 * MOMENT) == [
            LoginsFrom(3, NOW + 2 * MOMENT),
            LoginsFrom(2, NOW + MOMENT),
            LoginsFrom(1, NOW + 2 * MOMENT),
        ]
        await logins.add_success("ann", HERE, within=[AROUND], at=NOW + 4 * MOMENT)
        assert await logins.of("ann", [HERE, THERE, AROUND], at=NOW + 4 * MOMENT) == [
            LoginsFrom(known=True),
            LoginsFrom(1, NOW + 2 * MOMENT),
            LoginsFrom(),
        ]

    async def test_each_account_has_its_own(self, logins: LoginHistoryPort):
        await logins.add_failure("ann", [HERE], at=NOW)
        await logins.add_failure("bob", [HERE], at=NOW)
        await logins.add_success("ann", HERE, at=NOW)
        assert await logins.of("bob", [HERE], at=NOW) == [LoginsFrom(1, NOW)]

    async def test_after_a_day_without_any_the_count_begins_anew(self, logins: LoginHistoryPort):
        second = NOW + FORGOTTEN_AFTER - MOMENT
        third = second + FORGOTTEN_AFTER - MOMENT
        for at in (NOW, second, third):
            await logins.add_failure("ann", [HERE], at=at)
        assert await logins.of("ann", [HERE], at=third) == [LoginsFrom(3, third)]
        assert await logins.of("ann", [HERE], at=third + FORGOTTEN_AFTER) == [LoginsFrom()]
        last = third + FORGOTTEN_AFTER
        await logins.add_failure("ann", [HERE], at=last)
        assert await logins.of("ann", [HERE], at=last) == [LoginsFrom(1, last)]

    async def test_a_network_is_known_for_ninety_days_after_the_last_login(self, logins: LoginHistoryPort):
        await logins.add_success("ann", HERE, at=NOW)
        last = NOW + timedelta(days=50)
        await logins.add_success("ann", HERE, at=last)
        assert await logins.of("ann", [HERE, THERE], at=last + KNOWN_FOR - MOMENT) == [
            LoginsFrom(known=True),
            LoginsFrom(),
        ]
        assert await logins.of("ann", [HERE], at=last + KNOWN_FOR) == [LoginsFrom()]

    async def test_a_failure_leaves_a_known_network_known(self, logins: LoginHistoryPort):
        await logins.add_success("ann", HERE, at=NOW)
        await logins.add_failure("ann", [HERE], at=NOW)
        await logins.add_failure("bob", [HERE], at=NOW + 2 * FORGOTTEN_AFTER)  # others' are forgotten meanwhile
        assert await logins.of("ann", [HERE], at=NOW + 2 * FORGOTTEN_AFTER) == [LoginsFrom(known=True)]

    async def test_none_of_many_at_once_is_missed(self, logins: LoginHistoryPort):
        later = NOW + 2 * FORGOTTEN_AFTER
        await logins.add_failure("bob", [HERE, THERE], at=NOW)
        failures = [
            logins.add_failure(account, networks, at=later)
            for networks in ([HERE, AROUND], [AROUND, HERE])
            for account in ["ann"] * 10 + ["bob"] * 10
        ]
        await asyncio.gather(*failures)
        for account in ("ann", "bob"):
            assert await logins.of(account, [HERE, AROUND], at=later) == [LoginsFrom(20, later), LoginsFrom(20, later)]
