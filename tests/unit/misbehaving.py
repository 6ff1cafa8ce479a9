"""A function for killable processes. It has a module of its own so that they do not import pytest, which takes long."""

import os
import time


def misbehave(how: str) -> str:
    if how == "sleep":
        time.sleep(60)
    if how == "work hard":
        while True:
            pass
    if how == "work hard in C":
        sum(range(10**12))  # no signal handler of Python's would run in here
    if how == "grow":
        bytearray(1024**3)
    if how == "grow to the last byte":
        pieces: list[object] = []
        while True:
            pieces = [pieces, object()]
    if how == "leave a cycle":
        cycle: list[object] = [bytes(32 * 1024**2)]
        cycle.append(cycle)
    if how == "settings":
        return str([name for name in os.environ if name.startswith("FITNESS_SECRET")])
    if how == "print":
        print("this is no result")
    if how == "refuse":
        raise LookupError("refused")
    if how == "begun":
        return f"begun: {os.environ.get('FITNESS_TEST_BEGUN')}"
    return f"{how} in {os.getpid()}"


def begin() -> None:
    os.environ["FITNESS_TEST_BEGUN"] = "1"
