"""Calls a function at random times, at a given rate, however long earlier calls took."""

import asyncio
import random
import threading
import time
from collections.abc import Callable


async def paced(rate: float, seconds: float, call: Callable[[float], None]) -> None:
    """Call `call` on the event loop, with the time at which each call is due, by time.perf_counter.

    A thread keeps the time, since an event loop's timers are exact to a millisecond only, and an answer may be faster.
    """
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def keep_time() -> None:
        due_s = time.perf_counter()
        ends_s = due_s + seconds
        while (due_s := due_s + random.expovariate(rate)) < ends_s:
            if (early_s := due_s - time.perf_counter()) > 0:
                time.sleep(early_s)
            loop.call_soon_threadsafe(call, due_s)
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=keep_time, daemon=True).start()
    await over.wait()
