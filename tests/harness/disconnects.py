"""Requests of every route that are broken off at any byte, and bodies whose framing is broken."""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BOUNDARY = "b7f3"
A_FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.gpx"\r\n\r\n'
    f"<gpx><trk><trkseg></trkseg></trk></gpx>\r\n--{BOUNDARY}--\r\n"
).encode()
AN_ACTIVITY = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}
ACCOUNT = {"email": "gone@example.org", "password": "correct horse", "reason": "none", "role": "user"}


@dataclass(frozen=True, slots=True)
class Kind:
    method: str
    path: str
    token: str = ""
    """A token of its own, if the request ends the session; empty if the sender's token is used."""

    def request(self, token: str, *, chunked: bool) -> bytes:
        """The complete, correct request."""
        body, media_type = b"", ""
        if self.path.endswith("/import"):
            body, media_type = A_FORM, f"multipart/form-data; boundary={BOUNDARY}"
        elif self.method in ("POST", "PATCH", "PUT", "DELETE"):
            body, media_type = json.dumps({**ACCOUNT, **AN_ACTIVITY}).encode(), "application/json"
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: fitness\r\nAuthorization: Bearer {self.token or token}\r\n"
        if media_type:
            head += f"Content-Type: {media_type}\r\n"
        if not body:
            return f"{head}\r\n".encode()
        if chunked:
            half = len(body) // 2
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))
            return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def broken(kinds: Sequence[Kind], token: str, count: int, *, seed: int) -> Iterator[tuple[Kind, bytes]]:
    """`count` beginnings of requests; in one of four, some bytes are changed."""
    draw = random.Random(seed)
    for _ in range(count):
        kind = draw.choice(kinds)
        whole = bytearray(kind.request(token, chunked=draw.random() < 0.3))
        if draw.random() < 0.25:
            for _ in range(draw.randrange(1, 4)):
                whole[draw.randrange(len(whole))] = draw.randrange(256)
        yield kind, bytes(whole[: draw.randrange(1, len(whole) + 1)])


async def send_and_leave(port: int, data: bytes, *, number: int) -> None:
    """Send the data and leave within 4 ms; every other time by a TCP reset."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await asyncio.sleep(number % 5 / 1_000)
    if number % 2:
        writer.transport.abort()
    else:
        writer.close()
