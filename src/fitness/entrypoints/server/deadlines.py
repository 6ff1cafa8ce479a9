"""How long a client may keep a connection in each of its states, and how much it may send meanwhile."""

HEAD_S = 5.0
"""For a request's head, from its first byte; for the first request, from when the connection was made."""

IDLE_S = 75.0
"""Between requests. Proxies keep their connections for up to 60 s, and the proxy should be the one that closes."""

BODY_S = 600.0
BODY_WINDOW_S = 10.0
LEAST_BODY_RATE = 1_024
"""A body has BODY_S, and has to come at this many bytes a second over each window, however much came before."""

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


class BodyPace:
    """Whether a body comes as fast as it has to. Times are the event loop's."""

    __slots__ = ("_late_from_s", "_marked_bytes", "_marked_s", "unread_since_s")

    def __init__(self, now_s: float) -> None:
        self._late_from_s = now_s + BODY_S
        self._marked_s, self._marked_bytes = now_s, 0
        """When enough for a window had last come, and how much of the body that was."""
        self.unread_since_s: float | None = None
        """Since when nothing is read, as the application has not taken what there is of the body."""

    def read_on(self, on: bool, now_s: float) -> None:
        """Whether the service reads from now on. While it does not, the client cannot go on."""
        if on and self.unread_since_s is not None:
            unread_s, self.unread_since_s = now_s - self.unread_since_s, None
            self._late_from_s += unread_s
            self._marked_s += unread_s
        elif not on and self.unread_since_s is None:
            self.unread_since_s = now_s

    def is_late(self, now_s: float, received_bytes: int) -> bool:
        """To be asked several times in a window: what comes between two looks counts as if it came at the second."""
        if received_bytes - self._marked_bytes >= BODY_WINDOW_S * LEAST_BODY_RATE:
            self._marked_s, self._marked_bytes = now_s, received_bytes
        return now_s > self._late_from_s or now_s > self._marked_s + BODY_WINDOW_S
