"""Accepts connections, bounds how many there are, ends those that are overdue, and drains when the service stops."""

import asyncio
import logging
import socket
from collections.abc import Callable
from email.utils import formatdate

from fitness.entrypoints.server.connection import Connection
from fitness.entrypoints.server.exchange import ASGIApp, RawHeaders
from fitness.entrypoints.server.home import Kept

LOOK_S = 1.0
"""The time between two checks of the connections' deadlines."""

ACCEPTS = 64
"""The most connections accepted in one turn of the event loop; the others wait in the kernel."""

UNUSABLE_S = 0.5
"""The pause before the next attempt to accept, when no file descriptor is left."""

IDLE_LINGER_S = 0.25
"""How long idle connections stay open when the service stops, for requests that are already on their way."""

_log = logging.getLogger(__name__)


class Listener:
    """Keeps at most `per_address` connections of one client address, and at most `most` in all. A further connection
    ends the oldest of these that waits for its client; if none does, the new one is closed. So the connections that a
    client leaves open keep nobody out, least of all that client.

    `address_of` names the group in which a peer's connections are counted; None for a peer to which `per_address` does
    not apply, such as a proxy. `problem` makes the answers that the server gives without the application, and `refused`
    is called with the status of each that the application does not know of.
    """

    def __init__(
        self,
        app: ASGIApp,
        sock: socket.socket,
        *,
        per_address: int,
        most: int,
        address_of: Callable[[str], str | None],
        problem: Callable[[int, str], tuple[RawHeaders, bytes]],
        refused: Callable[[int], None],
    ) -> None:
        self.draining = False
        self.date = formatdate(usegmt=True).encode()
        self.problem = problem
        self.refused = refused
        self._app = app
        self._socket = sock
        self._per_address = per_address
        self._most = most
        self._address_of = address_of
        self._loop = asyncio.get_running_loop()
        self._connections: dict[Kept, str | None] = {}
        self._of_address: dict[str, dict[Kept, None]] = {}
        self._accepting: set[asyncio.Task[object]] = set()
        self._looking = self._loop.call_later(LOOK_S, self._look)
        self._empty = asyncio.Event()
        self._empty.set()
        name = sock.getsockname()
        self._server = (name[0], name[1]) if isinstance(name, tuple) else None
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._accept)

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def drain(self, *, notice_s: float, patience_s: float) -> None:
        """After `notice_s`, stop accepting connections, finish the requests under way, and close.

        From now on each answer closes its connection. Connections that do not end within `patience_s` are cut off.
        """
        self.draining = True
        await asyncio.sleep(notice_s)
        while self._accept():  # clients that the kernel has connected already are answered
            pass
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        if self._connections:
            await asyncio.sleep(IDLE_LINGER_S)
        for connection in [*self._connections]:
            connection.end_if_idle()
        try:
            async with asyncio.timeout(patience_s):
                await self._empty.wait()
        except TimeoutError:
            _log.warning("%s connections did not end within %s s, and are cut off", self.connections, patience_s)
            for connection in [*self._connections]:
                connection.end()
        self._looking.cancel()

    def became(self, before: Kept, after: Kept) -> None:
        address = self._connections.pop(before)
        self._connections[after] = address
        if address is not None:
            group = self._of_address[address]
            del group[before]
            group[after] = None

    def left(self, connection: Kept) -> None:
        address = self._connections.pop(connection, None)
        if address is not None:
            group = self._of_address[address]
            group.pop(connection, None)
            if not group:
                del self._of_address[address]
        if not self._connections:
            self._empty.set()

    def _accept(self) -> bool:
        """Returns whether more connections may be waiting."""
        for _ in range(ACCEPTS):
            try:
                sock, peer = self._socket.accept()
            except ConnectionAbortedError:  # this client has left; others may wait behind it
                continue
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:  # no descriptor is left: the connections wait in the kernel until there is one
                _log.warning("cannot accept connections: %s", error.strerror)
                self._loop.remove_reader(self._socket.fileno())
                self._loop.call_later(UNUSABLE_S, self._accept_again)
                return False
            self._take(sock, (peer[0], peer[1]))
        return True

    def _accept_again(self) -> None:
        if not self.draining:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _take(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        address = self._address_of(peer[0])
        group = {} if address is None else self._of_address.get(address, {})
        if not (self._room(group, self._per_address) and self._room(self._connections, self._most)):
            sock.close()
            return
        connection = Connection(self, self._app, peer, self._server)
        self._connections[connection] = address
        if address is not None:
            self._of_address.setdefault(address, {})[connection] = None
        self._empty.clear()
        task = self._loop.create_task(self._connect(connection, sock))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _connect(self, connection: Connection, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:  # the client has left
            sock.close()
            self.left(connection)

    def _room(self, connections: dict[Kept, None] | dict[Kept, str | None], most: int) -> bool:
        if len(connections) < most:
            return True
        for connection in connections:
            if connection.waits_for_client:
                self.left(connection)
                connection.end()
                return True
        return False

    def look(self, now_s: float) -> None:
        """End every connection that has passed a deadline at `now_s`, a time of the event loop."""
        for connection in [*self._connections]:
            connection.look(now_s)

    def _look(self) -> None:
        self._looking = self._loop.call_later(LOOK_S, self._look)
        self.date = formatdate(usegmt=True).encode()
        self.look(self._loop.time())
