"""The clock by which faults under load are measured: it sees waits, and not the machine's stalls."""

import asyncio
import time

from tests.harness.clocks import LONGEST_TICK_S, loop_clock


async def test_a_wait_counts_in_full_and_a_stall_of_the_loop_as_one_long_tick():
    async with loop_clock() as clock:
        started_s = clock.now_s()
        await asyncio.sleep(0.3)
        waited_s = clock.now_s() - started_s
        time.sleep(0.1)  # noqa: ASYNC251 - nothing on this loop can run now
        stalled_s = clock.now_s() - started_s - waited_s
    # The wait takes at least 60 short ticks or six long ones, however slow the machine is.
    assert waited_s > 5 * LONGEST_TICK_S
    assert stalled_s <= LONGEST_TICK_S
