"""What a connection to PostgreSQL is set up with: its session's settings, and when it gives up the server.

`times` multiplies each of the server's limits, for a client that waits so many times longer than usual.
"""

from collections.abc import Mapping

# A query that is abandoned at the deadline is ended by the server after this, so that its connection is free again.
STATEMENT_TIMEOUT_MS = 1_500

# A transaction of several statements is ended after this; a request makes two or three.
TRANSACTION_TIMEOUT_MS = 4_000

# A transaction whose client sends nothing more is ended after this.
IDLE_TIMEOUT_MS = 5_000

CONNECT_TIMEOUT_S = 2
"""The least that libpq accepts."""


def session_options(times: float = 1.0) -> str:
    """For the connection parameter `options`."""
    timeouts_ms = {
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "transaction_timeout": TRANSACTION_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": IDLE_TIMEOUT_MS,
    }
    settings = {
        "timezone": "UTC",
        **{name: f"{timeout_ms * times:.0f}" for name, timeout_ms in timeouts_ms.items()},
        # Every query here takes milliseconds: compiling one, or starting processes for it, takes longer than it saves.
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def keepalive(times: float = 1.0) -> Mapping[str, int]:
    """Connection parameters. A server that vanished without closing its connections is noticed after some 5 seconds."""
    return {
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": 5_000,
        "connect_timeout": round(CONNECT_TIMEOUT_S * times),
    }
