"""Measures whether the time of an answer to a login or a refresh says anything about the account.

    python -m ops.bench.logins [--each 200]

It compares a login with an unknown address to one with a wrong password, and a refresh token that was made up to one of
a session that has ended. The requests of a pair are sent one after the other, in random order. Exits with 1 if the
medians of a pair are more than 5 ms apart.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable

from ops.local.client import PASSWORD, Client
from ops.local.service import engines, serving

EACH = 200
MOST_APART_MS = 5.0
ACCOUNTS = 20
SETTINGS = {"RATE_LIMIT_SCALE": "0", "WORKERS": "1", "TRUSTED_PROXIES": "127.0.0.0/8"}

Ask = Callable[[int], tuple[str, dict[str, str]]]
"""Makes the path and the body of the request with that number."""


def wrong(number: int) -> tuple[str, dict[str, str]]:
    return "/auth/login", {"email": f"person{number % ACCOUNTS}@example.org", "password": "not this one"}


def unknown(number: int) -> tuple[str, dict[str, str]]:
    return "/auth/login", {"email": f"nobody{number % ACCOUNTS}@example.org", "password": "not this one"}


async def ended_tokens(client: Client) -> list[str]:
    """Refresh tokens of sessions that have ended."""
    tokens = []
    for number in range(ACCOUNTS):
        account = {"email": f"person{number}@example.org", "password": PASSWORD}
        await client.ask("POST", "/auth/register", account)
        given = (await client.ask("POST", "/auth/login", account)).json()
        tokens.append(given["refresh_token"])
        answer = await client.ask("POST", "/auth/logout", headers=f"authorization: Bearer {given['access_token']}\r\n")
        assert answer.status == 204, answer.body
    return tokens


def made_up(token: str) -> str:
    """A token that was never issued: one letter in the middle differs."""
    middle = len(token) // 2
    return token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]


def from_anywhere() -> str:
    """A header that names a new network each time, since a network that sent wrong passwords has to wait."""
    return f"x-forwarded-for: 198.{random.randrange(18, 20)}.{random.randrange(256)}.{random.randrange(256)}\r\n"


async def timed(client: Client, pair: dict[str, Ask], each: int) -> dict[str, list[float]]:
    took_ms: dict[str, list[float]] = {name: [] for name in pair}
    for number in range(each):
        for name in random.sample([*pair], len(pair)):
            path, body = pair[name](number)
            began_s = time.perf_counter()
            answer = await client.ask("POST", path, body, headers=from_anywhere())
            took_ms[name].append((time.perf_counter() - began_s) * 1000)
            assert answer.status == 401, answer.body
    return took_ms


async def measured(port: int, each: int) -> list[dict[str, list[float]]]:
    client = Client(port)
    tokens = await ended_tokens(client)
    logins: dict[str, Ask] = {"login, wrong password": wrong, "login, unknown address": unknown}
    refreshes: dict[str, Ask] = {
        "refresh, ended session": lambda number: ("/auth/refresh", {"refresh_token": tokens[number % ACCOUNTS]}),
        "refresh, made-up token": lambda number: (
            "/auth/refresh",
            {"refresh_token": made_up(tokens[number % ACCOUNTS])},
        ),
    }
    return [await timed(client, pair, each) for pair in (logins, refreshes)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--each", type=int, default=EACH)
    given = options.parse_args()
    with engines() as urls, serving(urls, **SETTINGS) as instance:
        pairs = asyncio.run(measured(instance.port, given.each))
    sound = True
    for pair in pairs:
        medians = {name: statistics.median(took_ms) for name, took_ms in pair.items()}
        apart_ms = max(medians.values()) - min(medians.values())
        sound &= apart_ms <= MOST_APART_MS
        print(", ".join(f"{name}: {median:.1f} ms" for name, median in medians.items()), f"(apart: {apart_ms:.1f} ms)")
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
