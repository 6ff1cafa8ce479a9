"""How long a client may keep a connection in each of its states, and how much it may send meanwhile."""

HEAD_S = 5.0
"""The time for a request's head, from its first byte; for the first request, from the start of the connection."""

IDLE_S = 75.0
"""The idle timeout between requests. Proxies keep connections for up to 60 s, and the proxy should close first."""

BODY_S = 600.0
BODY_WINDOW_S = 10.0
LEAST_BODY_RATE = 1_024
"""A whole body has BODY_S to arrive. Over each window of BODY_WINDOW_S it must also arrive at this many bytes a second,
however much arrived before."""

UNREAD_S = 30.0
"""The time for the client to read what is written to it, some 64 KiB at a time."""

GONE_S = 1.0
"""The time that a client may wait for its answer after it has closed its sending side. The service cannot see whether
the client has closed its receiving side as well."""

LINGER_S = 5.0
LINGER_BYTES = 32 * 1024 * 1024
"""After the last answer, what the client still sends is read and dropped, up to this time and this many bytes.
Otherwise the kernel would discard the answer together with the connection."""


MAX_PIPELINED = 64
"""The most requests of a connection that may wait while an earlier one is being answered."""


class BodyPace:
    """Whether a body arrives fast enough. Times are those of the event loop's clock."""

    __slots__ = ("_late_from_s", "_marked_bytes", "_marked_s", "unread_since_s")

    def __init__(self, now_s: float) -> None:
        self._late_from_s = now_s + BODY_S
        self._marked_s, self._marked_bytes = now_s, 0
        """When enough bytes for a window had last arrived, and how many bytes of the body had arrived by then."""
        self.unread_since_s: float | None = None
        """When reading paused, since the application had not taken what had arrived; None while the service reads."""

    def read_on(self, on: bool, now_s: float) -> None:
        """`on`: whether the service reads from now on. A pause extends the deadlines, since the client cannot go on."""
        if on and self.unread_since_s is not None:
            unread_s, self.unread_since_s = now_s - self.unread_since_s, None
            self._late_from_s += unread_s
            self._marked_s += unread_s
        elif not on and self.unread_since_s is None:
            self.unread_since_s = now_s

    def is_late(self, now_s: float, received_bytes: int) -> bool:
        """Must be called several times in a window: bytes that arrive between two calls count as if at the second."""
        if received_bytes - self._marked_bytes >= BODY_WINDOW_S * LEAST_BODY_RATE:
            self._marked_s, self._marked_bytes = now_s, received_bytes
        return now_s > self._late_from_s or now_s > self._marked_s + BODY_WINDOW_S
