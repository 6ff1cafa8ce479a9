"""How long a client may keep a connection in each of its states, and how much it may send meanwhile."""

HEAD_S = 5.0
"""For a request's head, from its first byte; for the first request, from when the connection was made."""

IDLE_S = 75.0
"""Between requests. Proxies keep their connections for up to 60 s, and the proxy should be the one that closes."""

BODY_S = 600.0
BODY_GRACE_S = 5.0
LEAST_BODY_RATE = 1_024
"""A body has BODY_S. After the grace it has to come at this many bytes a second, on average."""

UNREAD_S = 30.0
"""For the client to take what is written to it, some 64 KiB at a time."""

GONE_S = 1.0
"""A client that has closed its side of the connection may wait for its answer so long. Whether it closed the other side
as well is not to be seen."""

LINGER_S = 5.0
LINGER_BYTES = 32 * 1024 * 1024
"""After the last answer, what the client is still sending is read and dropped, up to these. Otherwise the kernel would
throw the answer away together with the connection."""


MAX_PIPELINED = 64
"""Requests that came before the answers to those before them."""


def body_is_late(waited_s: float, received_bytes: int) -> bool:
    return waited_s > BODY_S or received_bytes < (waited_s - BODY_GRACE_S) * LEAST_BODY_RATE
